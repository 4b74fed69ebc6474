import numpy as np

from unichest_kedro.evaluation.subgroup_figure import subgroup_figure

from .looking import draws, texts
from .report_tables import GROUPS, WHOLE, make_benchmarks, make_measures


def test_every_group_has_a_row_and_every_benchmark_a_panel(scores):
    measures = make_measures(scores)
    measures.loc[(measures["benchmark"] == "vindr_cxr") & (measures["group"] == "F"), ["value", "low", "high"]] = np.nan
    benchmarks = make_benchmarks({"mimic_cxr": ["edema"], "vindr_cxr": ["ILD"]}, ("mimic_cxr",))
    figure, numbers = subgroup_figure(measures, benchmarks, WHOLE)
    assert draws(figure)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows == [group for groups in GROUPS.values() for group in sorted(groups)]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["MIMIC_CXR", "VINDR_CXR (zero-shot)"]
    assert set(numbers["model"]) == {WHOLE} and set(numbers["finding"]) == {"mean"}
    assert len(numbers) == 2 * len(rows)


def test_without_groups_it_says_so(scores):
    measures = make_measures(scores, groups={})
    assert "No subgroup has" in texts(subgroup_figure(measures, make_benchmarks(), WHOLE).figure)
