from unichest_kedro.evaluation.coverage_figure import coverage_figure

from .looking import draws, texts


def test_it_shows_annotated_findings_and_counts_the_rest(coverage):
    figure, numbers = coverage_figure(coverage)
    assert draws(figure)
    assert "Scar" not in texts(figure) and "scar" not in set(numbers["finding"])
    assert "1 further findings" in texts(figure)
    assert "No source annotates" in texts(coverage_figure(coverage.assign(positive=0, negative=0)).figure)
