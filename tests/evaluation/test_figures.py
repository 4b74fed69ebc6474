import io

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from unichest_kedro.evaluation.figures import (
    auroc_figure,
    coverage_figure,
    films_figure,
    gate_figure,
    roc_figure,
    training_figure,
)
from unichest_kedro.evaluation.films import pick_films
from unichest_kedro.evaluation.metrics import auroc_table

from .conftest import EIGHT, make_scores


def texts(figure):
    return " | ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def draws(figure):
    """Draw at low resolution; a figure that cannot be laid out warns or raises."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return np.asarray(Image.open(buffer).convert("L")).std() > 0


def test_no_figure_touches_pyplot(scores):
    import matplotlib.pyplot

    before = matplotlib.pyplot.get_fignums()
    roc_figure(scores)
    assert matplotlib.pyplot.get_fignums() == before


@pytest.mark.parametrize("sources", [1, 2])
def test_roc_and_auroc_figures(scores, sources):
    kept = scores[scores["source"].isin(scores["source"].unique()[:sources])]
    roc, dots = roc_figure(kept), auroc_figure(auroc_table(kept))
    assert draws(roc) and draws(dots)
    assert "MIMIC-CXR" in texts(roc) and "MIMIC-CXR" in texts(dots)
    area = auroc_table(kept).groupby(["model", "source"])["auroc"].mean()
    assert f"Conquer + Divide  {area[('Conquer + Divide', 'mimic_cxr')]:.3f}" in texts(roc)


def test_figures_of_a_finding_and_a_source_without_both_classes(scores):
    scores.loc[scores["finding"] == "edema", "label"] = 0
    scores.loc[scores["source"] == "vindr_cxr", "label"] = -1
    roc, dots = roc_figure(scores), auroc_figure(auroc_table(scores))
    assert draws(roc) and draws(dots)
    assert "Conquer  –" in texts(roc)
    assert "Edema" not in texts(dots)


def test_gate_figure(gates):
    figure = gate_figure(gates)
    assert draws(figure)
    assert "Expert 3" in texts(figure)


def test_training_figure_leaves_out_what_was_never_measured(history):
    figure = training_figure({"Conquer": history, "Divide": history.iloc[:1]})
    assert draws(figure)
    assert "total" in texts(figure) and "| text |" not in texts(figure)


def test_training_figure_without_validation(history):
    assert draws(training_figure({"Conquer": history[["epoch", "loss"]]}))


def test_coverage_figure_shows_annotated_findings_and_counts_the_rest(coverage):
    figure = coverage_figure(coverage)
    assert draws(figure)
    assert "Scar" not in texts(figure)
    assert "1 further findings" in texts(figure)


def test_films_figure(scores):
    films = pick_films(scores[scores["model"] == "Conquer"], lambda *_: np.eye(9, dtype=np.uint8) * 255)
    figure = films_figure(films[:3] + films[4:])
    assert draws(figure)
    assert "✓" in texts(figure) and "VinDr-CXR" in texts(figure)


def test_nothing_to_draw_says_so(scores, gates, coverage):
    assert "Nothing was scored" in texts(roc_figure(scores.iloc[:0]))
    assert "No finding has both" in texts(auroc_figure(auroc_table(scores.assign(label=0))))
    assert "No model with experts" in texts(gate_figure(gates.iloc[:0]))
    assert "No stage" in texts(training_figure({}))
    assert "No source annotates" in texts(coverage_figure(coverage.assign(positive=0, negative=0)))
    assert "No film" in texts(films_figure(()))


def test_zero_shot_sources_come_last_and_are_called_so():
    scores = make_scores(findings=dict(reversed(EIGHT.items())))
    roc, dots = roc_figure(scores), auroc_figure(auroc_table(scores))
    for figure in (roc, dots):
        assert draws(figure)
        titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
        assert [title.endswith("(zero-shot)") for title in titles] == [False] * 4 + [True] * 4
    # Four panels in a row at most, and a row names the findings of its own sources only.
    rows = {round(axes.get_position().y0, 2) for axes in dots.axes}
    assert len(rows) == 2
    named = [{text.get_text() for text in axes.get_yticklabels()} for axes in dots.axes if axes.get_visible()]
    assert "Tuberculosis" in named[4] and "Tuberculosis" not in named[0]


def test_five_sources_of_a_kind_take_two_rows():
    scores = make_scores(findings=dict(list(EIGHT.items())[:5]), trained_on=tuple(EIGHT))
    figure = auroc_figure(auroc_table(scores))
    assert draws(figure)
    assert sum(axes.get_visible() for axes in figure.axes) == 5
