"""Examples point at the right rows, whatever order the tables come in."""

from types import SimpleNamespace

import pandas as pd
import pytest

from unichest_kedro.errors import MissingArtefact
from unichest_kedro.schemas import Examples
from unichest_kedro.training.examples import check_rows, join


def tables():
    studies = pd.DataFrame(
        {
            "source": "chexpert",
            "image_id": ["a", "b", "c", "d"],
            "patient_id": ["1", "1", "2", "3"],
            "split": ["train", "train", "val", "test"],
        }
    )
    labels = pd.DataFrame({"image_id": ["d", "c", "b", "a"]})
    texts = pd.DataFrame({"image_id": ["b", "a", "d", "c"], "text": ["edema [SEP]", "", "edema [SEP]", "mass [SEP]"]})
    return studies, labels, texts, pd.Series(["edema [SEP]", "mass [SEP]"])


def test_rows_agree_with_a_slow_loop():
    studies, labels, texts, distinct = tables()
    images = SimpleNamespace(image_ids=pd.Index(["c", "a", "d"]))
    joined = Examples.validate(join(studies, images, labels, texts, distinct))
    words = dict(zip(texts["image_id"], texts["text"]))
    for row, image_id in enumerate(images.image_ids):
        example = joined.iloc[row]
        assert example["image_id"] == image_id
        assert example["image_row"] == row
        assert labels["image_id"][example["label_row"]] == image_id
        assert example["patient_id"] == studies.set_index("image_id").loc[image_id, "patient_id"]
        assert (distinct[example["text_row"]] if example["text_row"] >= 0 else "") == words[image_id]


def test_a_film_of_another_run_is_named():
    studies, labels, texts, distinct = tables()
    with pytest.raises(ValueError, match="film z of the image store is in no study or label table"):
        join(studies, SimpleNamespace(image_ids=pd.Index(["a", "z"])), labels, texts, distinct)


def test_rows_that_point_at_other_films_are_refused():
    studies, labels, texts, distinct = tables()
    images = SimpleNamespace(image_ids=pd.Index(["c", "a", "d"]))
    examples = join(studies, images, labels, texts, distinct)
    check_rows(examples, {"chexpert": images}, {"chexpert": labels})
    for ids in (["a", "c", "d"], ["c", "a"]):
        with pytest.raises(MissingArtefact, match="chexpert were joined with other images or labels"):
            check_rows(examples, {"chexpert": SimpleNamespace(image_ids=pd.Index(ids))}, {"chexpert": labels})
    with pytest.raises(MissingArtefact, match="kedro run --pipelines=ingest,images,harmonise,text"):
        check_rows(examples, {"chexpert": images}, {"chexpert": labels[::-1].reset_index(drop=True)})
