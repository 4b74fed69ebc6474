import pandas as pd
import pytest
from pydantic import ValidationError

from unichest_kedro.evaluation.published import Published, published_beside, read_published
from unichest_kedro.evaluation.report_results import MEASURES

from .report_tables import make_benchmarks


def test_every_result_has_a_measure_that_is_shown_and_a_citation():
    published = read_published()
    assert {one.measure for one in published.results} <= set(MEASURES)
    assert all(len(published.references[one.reference]) > 20 for one in published.results)
    table = published_beside(make_benchmarks(), phantoms=())
    row = table[(table["benchmark"] == "padchest") & (table["method"] == "CARZero")].iloc[0]
    assert row["value"] == 0.81 and row["measure"] == "auroc" and "CVPR 2024" in row["citation"]
    siim = table[table["benchmark"] == "siim_acr"].set_index("measure")["value"]
    assert siim.to_dict() == {"accuracy": 0.889, "f1": 0.725}


def test_nothing_stands_beside_phantoms():
    benchmarks = make_benchmarks()
    assert published_beside(benchmarks, phantoms=set(benchmarks["source"])).empty
    some = published_beside(benchmarks, phantoms={"open_i", "padchest", "siim_acr"})
    assert set(some["benchmark"]) == {"chestxray14"}
    # What counts is the source of the films, whatever the benchmark is called.
    five = pd.DataFrame({"benchmark": ["chexpert_5"], "source": ["chexpert"]})
    assert len(published_beside(five, phantoms=())) == 3 and published_beside(five, phantoms={"chexpert"}).empty


def test_a_result_without_a_citation_is_refused():
    row = {"method": "X", "benchmark": "open_i", "measure": "auroc", "value": 0.5, "setting": "s", "reference": "lost"}
    with pytest.raises(ValidationError, match="results without a citation: lost"):
        Published.model_validate({"references": {}, "results": [row]})
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        Published.model_validate({"references": {"lost": "x"}, "results": [row | {"value": 50}]})
