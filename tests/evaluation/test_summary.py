import numpy as np
import pandas as pd

from unichest_kedro.evaluation.summary import leaked_in_words, not_judged_in_words, summary_text

from .conftest import EIGHT, make_scores
from .report_tables import make_headline, make_metrics

TITLES = {"mimic_cxr": "MIMIC-CXR"}


def test_summary_has_a_row_per_model_and_a_column_per_benchmark(scores):
    headline = make_headline(make_metrics(scores))
    lines = summary_text(headline, TITLES, "Phantoms.").splitlines()
    assert lines[0].split() == ["Test", "AUROC", "MIMIC-CXR", "VinDr-CXR", "mean"]
    assert lines[-1] == "Phantoms."
    area = headline.set_index(["model", "benchmark"])["auroc"]
    last = lines[-2]
    assert last.startswith("Conquer + Divide") and last.endswith(f"{area[('Conquer + Divide', 'mean')]:.3f}")
    assert len({len(line) for line in lines[:-1]}) == 1
    assert "–" in summary_text(headline.assign(auroc=np.nan), TITLES)


def test_benchmarks_that_count_in_no_mean_are_left_to_the_report(scores):
    headline = make_headline(make_metrics(scores))
    kept = headline.assign(in_mean=headline["benchmark"] != "vindr_cxr")
    assert summary_text(kept, TITLES).splitlines()[0].split() == ["Test", "AUROC", "MIMIC-CXR", "mean"]


def test_summary_has_a_table_of_each_kind():
    headline = make_headline(make_metrics(make_scores(findings=EIGHT)))
    blocks = summary_text(headline, TITLES, "Left out: none.", "", "Phantoms.").split("\n\n")
    assert [block.split("  ")[0] for block in blocks] == ["Test AUROC", "Zero-shot AUROC"]
    header = blocks[1].splitlines()[0].split()
    assert header == ["Zero-shot", "AUROC", "Shenzhen", "Open-I", "SIIM-ACR", "PadChest", "mean"]
    assert blocks[1].splitlines()[-2:] == ["Left out: none.", "Phantoms."]
    assert max(len(line) for line in "\n".join(blocks).splitlines()) <= 100


def test_leaks_in_words():
    films = pd.DataFrame(
        [("siim_acr", False, 100, 1), ("open_i", False, 50, 0)], columns=["source", "trained_on", "films", "leaked"]
    )
    assert (
        leaked_in_words(films, True) == "1 of 150 test films is also among the films trained on (SIIM-ACR 1): left out."
    )
    assert "(SIIM-ACR 1): NOT left out" in leaked_in_words(films, False)


def test_a_benchmark_of_which_nothing_is_left_is_named():
    table = pd.DataFrame({"title": ["CheXpert", "PadChest, labelled by physicians"], "films": [20, 0]})
    assert not_judged_in_words(table) == "Not judged: PadChest, labelled by physicians. The report says why."
    assert not_judged_in_words(table[:1]) == ""
