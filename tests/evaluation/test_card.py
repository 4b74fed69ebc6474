import dataclasses

import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard

from unichest_kedro.evaluation.card import CardContent, render_card

from .conftest import make_scores
from .report_tables import WHOLE, make_data, make_fingerprints, make_inspection, make_results

FACTS = {
    "trained_on": ["mimic_cxr"],
    "training_films": {"mimic_cxr": 1500, "vindr_cxr": 0},
    "phantoms": ["mimic_cxr"],
    "findings_asked": ["edema", "cardiomegaly"],
    "one_sided": {"mimic_cxr": ["ILD"]},
    "seed": 42,
}


@pytest.fixture(scope="module")
def content():
    scores = make_scores(trained_on=("mimic_cxr",))
    data = make_data(trained_on=("mimic_cxr",))
    return CardContent(
        facts=FACTS,
        findings=["edema", "cardiomegaly", "ILD", "scar"],
        shape={"image_size": 64, "backbone": "resnet18", "experts": 3},
        parameters=1234567,
        fingerprint="f1n9e2",
        sources=data.sources,
        teachers=data.teachers,
        results=make_results(scores),
        inspection=make_inspection(),
        data_fingerprints=make_fingerprints(),
        versions={"Python": "3.11.9"},
        created="25 November 2026",
    )


def test_the_head_is_what_the_hub_reads(content):
    card = ModelCard(render_card(content))
    data = card.data
    assert data.license == "apache-2.0" and data.library_name == "unichest_kedro" and "chest-x-ray" in data.tags
    area = content.results.headline.set_index(["model", "benchmark"])["auroc"]
    told = {one.dataset_type: one for one in data.eval_results}
    assert set(told) == {"phantoms-of-mimic_cxr", "phantoms-of-vindr_cxr"}
    assert told["phantoms-of-mimic_cxr"].metric_value == pytest.approx(area[(WHOLE, "mimic_cxr")], abs=1e-4)
    assert told["phantoms-of-vindr_cxr"].task_name.endswith("zero-shot")
    assert "phantoms" in data.tags


def test_the_head_keeps_two_benchmarks_of_one_source_apart(content):
    """As CheXpert and its five findings of the competition; each with the split that it judges."""
    results = content.results
    twice = results.headline[results.headline["benchmark"] == "mimic_cxr"].assign(benchmark="mimic_2", auroc=0.25)
    of_table = results.benchmark_table[results.benchmark_table["benchmark"] == "mimic_cxr"]
    of_table = of_table.assign(benchmark="mimic_2", title="Two of MIMIC-CXR", split="val")
    results = dataclasses.replace(
        results,
        headline=pd.concat([results.headline, twice], ignore_index=True),
        benchmark_table=pd.concat([results.benchmark_table, of_table], ignore_index=True),
    )
    told = ModelCard(render_card(dataclasses.replace(content, results=results))).data.eval_results
    shown = {(one.dataset_name, one.dataset_split): one.metric_value for one in told}
    area = content.results.headline.set_index(["model", "benchmark"])["auroc"]
    assert len(told) == 3 and shown["Two of MIMIC-CXR (phantoms)", "val"] == 0.25
    assert shown["MIMIC_CXR (phantoms)", "test"] == pytest.approx(area[(WHOLE, "mimic_cxr")], abs=1e-4)


def test_a_mean_says_which_benchmarks_it_lacks(content):
    headline = content.results.headline
    lacking = (headline["model"] == "Conquer") & (headline["benchmark"] == "mean")
    headline = headline.assign(left_out=headline["left_out"].mask(lacking, "mimic_cxr"))
    results = dataclasses.replace(content.results, headline=headline)
    assert render_card(dataclasses.replace(content, results=results)).count("] without MIMIC_CXR |") == 1
    assert "without MIMIC_CXR" not in render_card(content)


def test_real_films_are_not_called_phantoms(content):
    sources = content.sources.assign(phantom=False)
    facts = FACTS | {"phantoms": []}
    text = render_card(dataclasses.replace(content, sources=sources, facts=facts))
    assert "hantom" not in text
    assert [one.dataset_type for one in ModelCard(text).data.eval_results] == ["mimic_cxr", "vindr_cxr"]


def test_it_says_what_was_trained_on_and_what_was_asked(content):
    text = render_card(content)
    assert "phantoms of MIMIC-CXR: 1,500 training films" in text and "VinDr-CXR: 0" not in text
    assert "**Asked in training** (2): edema, cardiomegaly." in text
    assert "**Never asked in training** (2): ILD, scar." in text
    assert "one way only: MIMIC-CXR: ILD" in text and "ILD (VinDr-CXR)" in text
    assert "`f1n9e2`; 1,234,567 parameters" in text and "ab" * 32 in text and "Python 3.11.9" in text


def test_it_has_the_numbers_of_the_report(content):
    text = render_card(content)
    for row in content.results.headline.itertuples():
        assert f"{row.auroc:.3f} [{row.low:.3f}, {row.high:.3f}]" in text
    measures = content.results.measures
    groups = measures[(measures["model"] == WHOLE) & (measures["finding"] == "mean") & (measures["group"] == "F")]
    for row in groups[groups["measure"].isin(["auroc", "sensitivity"])].itertuples():
        assert f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" in text
    assert "### Zero-shot" in text and text.index("### Sources trained on") < text.index("### Zero-shot")
    assert "fitted on validation of mimic_cxr" in text and "| validation of vindr_cxr |" in text
    assert "| VinDr-CXR | Conquer + Divide | 30 | 0.400 [0.300, 0.500] |" in text
    assert not any(line.count("|") == 1 for line in text.splitlines())


def test_tables_are_tables(content):
    """Each row of a table has as many cells as its head."""
    lines = render_card(content).splitlines()
    for k, line in enumerate(lines):
        if line.startswith("|---"):
            width = line.count("|")
            assert lines[k - 1].count("|") == width and lines[k + 1].count("|") == width


def test_what_is_not_defined_is_a_dash_and_in_no_head(content):
    results = content.results
    headline = results.headline.assign(auroc=np.nan, low=np.nan, high=np.nan)
    measures = results.measures[results.measures["group_kind"] == "all"]
    empty = {f.name: getattr(content.inspection, f.name).iloc[:0] for f in dataclasses.fields(content.inspection)}
    bare = dataclasses.replace(
        content,
        facts={},
        results=dataclasses.replace(results, headline=headline, measures=measures),
        inspection=dataclasses.replace(content.inspection, **empty),
    )
    text = render_card(bare)
    assert "nan" not in text and "0.000" not in text and "| MIMIC_CXR | – | – | – |" in text
    assert ModelCard(text).data.eval_results is None
    assert "unknown: the model does not say" in text and "No finding could be calibrated" in text
    assert "no source of this run has boxes" in text and "No source of this run tells sex" in text
