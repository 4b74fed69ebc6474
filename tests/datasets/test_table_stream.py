"""A table is written piece by piece, appears whole or not at all, and loads as it was."""

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from unichest_kedro.datasets.table_stream import TableStreamDataset


class Pieces:
    """A table in pieces, the first of which has no value in a column."""

    def __init__(self, fail=False):
        self.fail = fail

    def predictions(self):
        types = {"above": "boolean", "x": float, "name": "str"}
        yield pd.DataFrame({"above": [None, None], "x": [np.nan, np.nan], "name": ["", "å,b"]}).astype(types)
        if self.fail:
            raise RuntimeError("half")
        yield pd.DataFrame({"above": [True], "x": [1 / 3], "name": ["c"]}).astype(types)


def whole():
    return pd.concat(Pieces().predictions(), ignore_index=True)


def test_parquet_loads_as_it_was(tmp_path):
    dataset = TableStreamDataset(filepath=str(tmp_path / "deep" / "x.parquet"))
    assert not dataset.exists()
    dataset.save(Pieces())
    pd.testing.assert_frame_equal(dataset.load(), whole())


def test_csv_has_one_header_and_the_same_values(tmp_path):
    dataset = TableStreamDataset(filepath=str(tmp_path / "x.csv"))
    dataset.save(Pieces())
    loaded = dataset.load()
    assert list(loaded.columns) == ["above", "x", "name"]
    assert len(loaded) == 3
    assert loaded["x"].iloc[2] == pytest.approx(1 / 3, abs=1e-6)
    assert loaded["above"].isna().tolist() == [True, True, False]
    assert loaded["name"].iloc[1] == "å,b"


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_failed_save_leaves_the_former_table(tmp_path, suffix):
    dataset = TableStreamDataset(filepath=str(tmp_path / f"x.{suffix}"))
    dataset.save(Pieces())
    before = (tmp_path / f"x.{suffix}").read_bytes()
    with pytest.raises(DatasetError):
        dataset.save(Pieces(fail=True))
    assert (tmp_path / f"x.{suffix}").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [f"x.{suffix}"]


def test_another_suffix_and_a_missing_table_are_named(tmp_path):
    with pytest.raises(DatasetError, match=r"\.parquet or \.csv"):
        TableStreamDataset(filepath=str(tmp_path / "x.xlsx"))
    with pytest.raises(DatasetError, match="--pipeline=predict"):
        TableStreamDataset(filepath=str(tmp_path / "x.csv")).load()
