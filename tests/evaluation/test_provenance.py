import platform

import pandas as pd

from unichest_kedro.evaluation.provenance import fingerprints, table_digest, versions


def table(**columns):
    return pd.DataFrame({"image_id": ["a", "b"], "edema": [1, -1], "age": [1.5, None]} | columns)


def test_a_digest_tells_every_cell_column_and_order_and_nothing_else():
    digest = table_digest(table())
    assert len(digest) == 64 and digest == table_digest(table().set_axis([7, 9]))
    others = [
        table(edema=[1, 0]),
        table(age=[None, 1.5]),
        table().iloc[::-1],
        table().rename(columns={"edema": "mass"}),
        table()[["edema", "image_id", "age"]],
        table().iloc[:1],
    ]
    assert len({digest, *map(table_digest, others)}) == 7


def test_a_table_that_went_through_parquet_has_the_same_digest(tmp_path):
    table().to_parquet(tmp_path / "t.parquet")
    assert table_digest(pd.read_parquet(tmp_path / "t.parquet")) == table_digest(table())


def test_fingerprints_are_laid_out_by_source():
    rows = fingerprints({"studies": {"x": table(), "y": table()}, "examples": {"y": table().iloc[:1]}})
    assert rows[["source", "table", "rows"]].to_numpy().tolist() == [
        ["x", "studies", 2],
        ["y", "studies", 2],
        ["y", "examples", 1],
    ]


def test_versions_name_python_platform_and_packages():
    told = versions()
    assert told["Python"] == platform.python_version() and told["Platform"] == platform.platform()
    assert {"torch", "kedro", "unichest_kedro"} <= set(told)
