import numpy as np
import pandas as pd

from unichest_kedro.evaluation.forest_figure import forest_figure

from .conftest import EIGHT, MODELS, make_scores
from .looking import draws, texts
from .report_tables import make_headline, make_metrics

TITLES = {source: source.upper() for source in EIGHT}


def test_each_kind_of_source_has_a_panel_that_ends_with_its_mean():
    headline = make_headline(make_metrics(make_scores(findings=dict(reversed(EIGHT.items())))))
    figure, numbers = forest_figure(headline, TITLES)
    assert draws(figure)
    trained, zero_shot = figure.axes
    names = [label.get_text() for label in trained.get_yticklabels()]
    assert set(names[:4]) == {"MIMIC_CXR", "CHESTXRAY14", "CHEXPERT", "VINDR_CXR"} and names[4:] == ["Mean"]
    assert [label.get_text() for label in zero_shot.get_yticklabels()][-1] == "Mean"
    assert all(model in texts(figure) for model in MODELS)
    assert len(numbers) == len(headline)


def test_dots_and_lines_stand_where_the_numbers_are(scores):
    headline = make_headline(make_metrics(scores))
    (axes,) = forest_figure(headline, TITLES).figure.axes
    one = headline[headline["model"] == MODELS[0]]
    dots = {round(value, 6) for line in axes.lines for value in np.atleast_1d(line.get_xdata())}
    assert set(one["auroc"].round(6)) <= dots
    ends = {tuple(np.round(path.vertices[:, 0], 6)) for group in axes.collections for path in group.get_paths()}
    assert {tuple(row) for row in one[["low", "high"]].round(6).to_numpy()} <= ends


def test_what_is_not_defined_is_not_drawn(scores):
    headline = make_headline(make_metrics(scores))
    figure, _ = forest_figure(headline.assign(low=np.nan, high=np.nan), TITLES)
    assert draws(figure)
    figure, numbers = forest_figure(headline.assign(auroc=np.nan), TITLES)
    assert "No benchmark has" in texts(figure) and len(numbers) == len(headline)
    assert pd.api.types.is_float_dtype(numbers["auroc"])
