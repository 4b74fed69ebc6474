from unichest_kedro.evaluation.training_figure import training_figure

from .looking import draws, texts


def test_it_leaves_out_what_was_never_measured(history):
    figure, numbers = training_figure({"Conquer": history, "Divide": history.iloc[:1]})
    assert draws(figure)
    assert "total" in texts(figure) and "| text |" not in texts(figure)
    assert numbers.columns[0] == "stage" and len(numbers) == len(history) + 1


def test_without_validation_and_without_stages(history):
    assert draws(training_figure({"Conquer": history[["epoch", "loss"]]}).figure)
    assert "No stage" in texts(training_figure({}).figure)
