import io

import matplotlib.figure
import pytest

from unichest_kedro.evaluation.leakage_figure import leakage_figure

from .conftest import EIGHT, make_leakage_summary, make_leaked_films


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


@pytest.mark.parametrize("sources", [("mimic_cxr",), ("mimic_cxr", "vindr_cxr"), tuple(EIGHT)])
def test_every_pair_of_sources_has_a_cell(sources):
    leaked = make_leaked_films()
    figure, numbers = leakage_figure(leaked[leaked["source"].isin(sources)], make_leakage_summary(sources))
    assert len(numbers) == len(sources) ** 2
    figure.savefig(io.BytesIO(), dpi=40)
    assert len([text for text in texts(figure) if text.isdigit()]) == len(sources) ** 2


def test_leaks_count_by_where_they_were_seen_and_known_overlaps_are_framed():
    pair = ("mimic_cxr", "vindr_cxr")
    figure, numbers = leakage_figure(make_leaked_films(), make_leakage_summary(known=[pair]))
    seen = numbers.set_index(["training_films_of", "among_films_of"])
    assert seen.loc[pair, "films"] == 2 and seen.loc[pair, "pairs_in_any_split"] == 3
    (axes,) = figure.axes
    cells = {text.get_position(): text.get_text() for text in axes.texts if text.get_text().isdigit()}
    # Places are (column, row): films of the column that were seen in the row.
    assert [cells[column, row - 0.08] for row in (0, 1) for column in (0, 1)] == ["0", "2", "1", "1"]
    assert [text for text in texts(figure) if "pairs" in text and "Small" not in text] == [
        "1 pairs",
        "3 pairs",
        "3 pairs",
    ]
    assert len(axes.patches) == 2


def test_without_leaks_and_without_sources():
    summary = make_leakage_summary()
    figure, numbers = leakage_figure(make_leaked_films().iloc[:0], summary)
    assert numbers["films"].sum() == 0
    figure.savefig(io.BytesIO(), dpi=40)
    assert "No source was compared." in texts(leakage_figure(make_leaked_films().iloc[:0], summary.iloc[:0]).figure)
