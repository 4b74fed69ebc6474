import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from unichest_kedro.evaluation.curve_figures import GRID, mean_curve, precision_recall_figure, roc_figure
from unichest_kedro.evaluation.measures import auroc

from .conftest import MODELS, make_scores
from .looking import draws, texts
from .report_tables import make_benchmarks, make_curves


@pytest.fixture(scope="module")
def scores():
    return make_scores()


@pytest.fixture(scope="module")
def curves(scores):
    return make_curves(scores)


@pytest.fixture(scope="module")
def benchmarks(scores):
    return make_benchmarks(scores.groupby("source", sort=False)["finding"].unique().to_dict(), ("mimic_cxr",))


def macro(scores, value=0.75):
    return scores[["model", "source"]].drop_duplicates().rename(columns={"source": "benchmark"}).assign(value=value)


@pytest.mark.parametrize("draw", [roc_figure, precision_recall_figure])
def test_a_panel_per_benchmark_with_the_macro_in_its_legend(draw, scores, curves, benchmarks):
    figure, numbers = draw(curves, macro(scores), benchmarks)
    assert draws(figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["MIMIC_CXR", "VINDR_CXR (zero-shot)"]
    assert "Conquer + Divide  0.750" in texts(figure)
    means = numbers[numbers["finding"] == "mean"]
    assert len(means) == 2 * len(MODELS) * len(GRID)
    # The finding's own curves are those of the model that the page is about.
    assert set(numbers.loc[numbers["finding"] != "mean", "model"]) == {MODELS[-1]}
    assert numbers["y"].between(0, 1).all()


@pytest.mark.parametrize("kind", ["roc", "pr"])
def test_the_mean_curve_of_one_finding_has_its_area(kind, scores, curves):
    one = scores[(scores["model"] == MODELS[0]) & (scores["finding"] == "edema") & (scores["label"] != -1)]
    curve = curves[(curves["model"] == MODELS[0]) & (curves["finding"] == "edema") & (curves["curve"] == kind)]
    height = mean_curve(curve, kind)
    label, score = one["label"].to_numpy(), one["score"].to_numpy()
    if kind == "roc":
        assert np.trapezoid(height, GRID) == pytest.approx(auroc(label, score), abs=0.01)
        assert height[-1] == 1
    else:
        assert height[1:].mean() == pytest.approx(average_precision_score(label, score), abs=0.01)


def test_precision_is_that_at_the_recall_that_is_reached():
    # The best score is a positive, the second a negative, the third the other positive: precision 1, 1/2, 2/3.
    points = pd.DataFrame({"x": [1.0, 0.5, 0.5, 0.0], "y": [2 / 3, 0.5, 1.0, 1.0]}).assign(finding="a")
    height = mean_curve(points, "pr")
    assert height[GRID <= 0.5].tolist() == [1.0] * 51
    assert np.allclose(height[GRID > 0.5], 2 / 3)


def test_a_benchmark_without_both_classes_has_no_line(scores, curves, benchmarks):
    values = macro(scores).assign(value=np.nan)
    figure, numbers = roc_figure(curves[curves["benchmark"] == "mimic_cxr"], values, benchmarks)
    assert draws(figure)
    assert "Conquer  –" in texts(figure)
    assert numbers.loc[numbers["benchmark"] == "vindr_cxr", "y"].isna().all()
    assert "Nothing was scored" in texts(roc_figure(curves, values.iloc[:0], benchmarks).figure)
