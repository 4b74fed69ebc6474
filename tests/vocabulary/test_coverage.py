import numpy as np
import pandas as pd
import pytest

from unichest_kedro.errors import VocabularyError
from unichest_kedro.schemas import Coverage
from unichest_kedro.vocabulary import coverage

FINDINGS = ["z", "a", "No Finding"]


def tables(count=500):
    rng = np.random.default_rng(1)
    ids = [f"i{n}" for n in range(count)]
    source = rng.choice(["chexpert", "vindr_cxr"], count)
    studies = pd.DataFrame({"source": source, "image_id": ids, "split": rng.choice(["train", "val", "test"], count)})
    states = {finding: rng.choice([1, 0, -1], count).astype("int8") for finding in FINDINGS}
    return studies, pd.DataFrame({"source": source, "image_id": ids, **states})


def test_counts_against_a_loop():
    studies, labels = tables()
    table = coverage(studies, labels)
    Coverage.validate(table)
    expected = [
        {
            "source": source,
            "split": split,
            "finding": finding,
            **{
                name: sum(
                    s == source and p == split and state == value
                    for s, p, state in zip(labels["source"], studies["split"], labels[finding])
                )
                for name, value in (("positive", 1), ("negative", 0), ("unknown", -1))
            },
        }
        for source in ("chexpert", "vindr_cxr")
        for split in ("train", "val", "test")
        for finding in FINDINGS
    ]
    assert table.to_dict("records") == expected


def test_a_split_that_a_source_lacks_has_no_rows():
    studies, labels = tables()
    studies["split"] = "train"
    assert set(coverage(studies, labels)["split"]) == {"train"}


def test_tables_of_different_images():
    studies, labels = tables(20)
    with pytest.raises(VocabularyError, match=r"studies \(20 rows\) and the labels \(19 rows\)"):
        coverage(studies, labels.iloc[1:])
