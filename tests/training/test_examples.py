"""Examples point at the right rows, whatever order the tables come in."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.errors import MissingArtefact
from unichest_kedro.schemas import Examples
from unichest_kedro.training.examples import check_rows, join, without_one_sided


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
    with pytest.raises(MissingArtefact, match="kedro run --pipelines=ingest,images,reports,harmonise,text"):
        check_rows(examples, {"chexpert": images}, {"chexpert": labels[::-1].reset_index(drop=True)})


def test_a_text_of_a_source_that_is_only_scored_has_no_row():
    studies, labels, texts, distinct = tables()
    images = SimpleNamespace(image_ids=pd.Index(["c", "a", "d"]))
    joined = join(studies, images, labels, texts, distinct[distinct != "mass [SEP]"].reset_index(drop=True))
    assert joined["text_row"].tolist() == [-1, -1, 0]


def test_what_is_known_in_one_way_only_agrees_with_a_slow_loop():
    rng = np.random.default_rng(3)
    findings = [f"f{number}" for number in range(40)]
    examples, labels = [], {}
    for source, films in (("a", 9), ("b", 6), ("scored", 5)):
        labels[source] = rng.choice([-1, 0, 1], size=(films, 40), p=[0.6, 0.2, 0.2]).astype(np.int8)
        split = ["test"] * films if source == "scored" else ["train"] * 4 + ["val"] + ["test"] * (films - 5)
        rows = rng.permutation(films)
        examples.append(pd.DataFrame({"source": source, "split": split, "label_row": rows}))
    examples = pd.concat(examples, ignore_index=True)
    before = {source: values.copy() for source, values in labels.items()}
    labelled = {"a": findings[:20], "b": findings[10:]}
    kept, left_out = without_one_sided(examples, labels, findings, labelled)
    assert set(left_out) == {"a", "b"}
    for source, values in labels.items():
        train = examples[(examples["source"] == source) & (examples["split"] == "train")]["label_row"]
        for column, finding in enumerate(findings):
            known = [int(values[row, column]) for row in train if values[row, column] != -1]
            inferred = finding not in labelled.get(source, [])
            alone = set(known) == {1} or (inferred and set(known) == {0})
            assert (finding in left_out.get(source, [])) == alone
            expected = np.full(len(values), -1) if alone else values[:, column]
            np.testing.assert_array_equal(kept[source][:, column], expected)
        assert kept[source].dtype == np.int8
        np.testing.assert_array_equal(values, before[source])
