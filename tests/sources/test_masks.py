import numpy as np
import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.masks import decode_runs, runs_to_box, runs_to_mask


def slow_mask(text, height, width):
    """Pixel by pixel, as the format is described."""
    mask = [[False] * width for _ in range(height)]
    numbers = [int(word) for word in text.split()]
    position = 0
    for offset, length in zip(numbers[::2], numbers[1::2]):
        position += offset
        for _ in range(length):
            mask[position % height][position // height] = True
            position += 1
    return np.array(mask)


def slow_box(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def random_text(rng, pixels):
    words, position = [], 0
    while position < pixels:
        offset, length = int(rng.integers(0, 30)), int(rng.integers(1, 12))
        if position + offset + length > pixels:
            break
        words += [offset, length]
        position += offset + length
    return " ".join(map(str, words))


@pytest.mark.parametrize("seed", range(20))
def test_masks_and_boxes_against_the_slow_way(seed):
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(5, 20)), int(rng.integers(5, 20))
    text = ""
    while not text:
        text = random_text(rng, height * width)
    runs = decode_runs(text, height, width)
    mask = runs_to_mask(runs, height, width)
    expected = slow_mask(text, height, width)
    assert mask.shape == (height, width) and mask.dtype == bool
    np.testing.assert_array_equal(mask, expected)
    assert runs_to_box(runs, height) == slow_box(expected)


def test_runs_are_counted_down_the_columns():
    runs = decode_runs("4 2 1 1", 3, 4)
    assert runs.tolist() == [[4, 6], [7, 8]]
    assert runs_to_mask(runs, 3, 4).astype(int).tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0]]
    assert runs_to_box(runs, 3) == (1, 1, 3, 3)


def test_a_run_over_the_end_of_a_column_spans_all_rows():
    assert runs_to_box(decode_runs("2 2", 3, 4), 3) == (0, 0, 2, 3)
    assert runs_to_box(decode_runs("0 12", 3, 4), 3) == (0, 0, 4, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 numbers"),
        ("5", "1 numbers, not pairs"),
        ("1 2 3", "3 numbers"),
        ("1 x", "'1 x', not whole numbers"),
        ("1 2.5", "not whole numbers"),
        ("-1 -1", "negative offset"),
        ("3 0", "run without pixels"),
        ("9 4", "leaves the image of 3 x 4"),
        ("1 2 8 2", "leaves the image"),
        ("9223372036854775807 9223372036854775807", "leaves the image"),
        ("99999999999999999999 1", "not whole numbers"),
    ],
)
def test_texts_that_are_no_mask(text, words):
    with pytest.raises(SourceError, match=words):
        decode_runs(text, 3, 4)


def test_every_real_mask(real):
    lines = (real / "siim_acr/train-rle.csv").read_text().splitlines()[1:]
    texts = [line.split(",")[1] for line in lines if not line.endswith(",-1")]
    assert len(texts) == 3_576
    for text in texts[::97]:
        runs = decode_runs(text, 1024, 1024)
        mask = runs_to_mask(runs, 1024, 1024)
        assert mask.sum() == sum(int(word) for word in text.split()[1::2])
        assert runs_to_box(runs, 1024) == slow_box(mask)
