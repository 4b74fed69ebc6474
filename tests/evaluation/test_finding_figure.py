import numpy as np

from unichest_kedro.evaluation.finding_figure import finding_figure

from .conftest import EIGHT, make_scores
from .looking import draws, texts
from .report_tables import WHOLE, make_benchmarks, make_metrics


def of(scores, trained_on=("mimic_cxr", "chestxray14", "chexpert", "vindr_cxr")):
    findings = scores.groupby("source", sort=False)["finding"].unique().to_dict()
    return finding_figure(make_metrics(scores), make_benchmarks(findings, trained_on), WHOLE)


def test_zero_shot_benchmarks_come_last_and_are_called_so():
    figure, numbers = of(make_scores(findings=dict(reversed(EIGHT.items()))))
    assert draws(figure)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert [title.endswith("(zero-shot)") for title in titles] == [False] * 4 + [True] * 4
    # A row names the findings of its own benchmarks only.
    named = [{text.get_text() for text in axes.get_yticklabels()} for axes in figure.axes if axes.get_visible()]
    assert "Tuberculosis" in named[4] and "Tuberculosis" not in named[0]
    assert set(numbers["benchmark"]) == set(EIGHT)


def test_five_benchmarks_of_a_kind_take_two_rows():
    figure, _ = of(make_scores(findings=dict(list(EIGHT.items())[:5]), trained_on=tuple(EIGHT)), tuple(EIGHT))
    assert draws(figure)
    assert sum(axes.get_visible() for axes in figure.axes) == 5


def test_a_finding_without_both_classes_has_no_dot(scores):
    scores.loc[scores["finding"] == "edema", "label"] = 0
    scores.loc[scores["source"] == "vindr_cxr", "label"] = -1
    figure, _ = of(scores)
    assert draws(figure)
    assert "Edema" not in texts(figure) and "VINDR_CXR" not in texts(figure)
    assert "No finding has both" in texts(of(scores.assign(label=0)).figure)


def test_intervals_are_those_of_the_model_the_page_is_about(scores):
    metrics = make_metrics(scores)
    figure, _ = of(scores)
    axes = figure.axes[0]
    drawn = {tuple(np.round(path.vertices[:, 0], 6)) for group in axes.collections for path in group.get_paths()}
    ours = metrics[(metrics["model"] == WHOLE) & (metrics["benchmark"] == "mimic_cxr")]
    assert drawn == {tuple(row) for row in ours[["low", "high"]].round(6).to_numpy()}
