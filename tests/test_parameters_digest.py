"""What counts as another parameter: what changes a result, and nothing else."""

import pytest

from unichest_kedro.imaging.store import ImagingSettings
from unichest_kedro.parameters_digest import parameter_digest
from unichest_kedro.training.settings import DivideSettings


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("seed", 1, 2, False),
        ("train_on", ["a", "b"], ["a"], False),
        ("imaging", ImagingSettings(image_size=96, n_jobs=1), ImagingSettings(image_size=96, n_jobs=8), True),
        ("imaging", ImagingSettings(image_size=96), ImagingSettings(image_size=64), False),
        ("divide", DivideSettings(), DivideSettings(num_workers=3, compile=True), True),
        ("divide", DivideSettings(), DivideSettings(batch_size=8), False),
        ("evaluation", {"batch_size": 1, "resamples": 9}, {"batch_size": 8, "resamples": 9}, True),
        ("evaluation", {"batch_size": 1, "resamples": 9}, {"batch_size": 1, "resamples": 8}, False),
        ("text", {"batch_size": 1}, {"batch_size": 2}, False),
        ("radgraph", None, {"mimic_cxr": "/x"}, False),
        ("benchmarks", {"b": {"title": "B"}}, {"b": {"title": "C"}}, False),
    ],
)
def test_only_what_changes_a_result_counts(name, one, other, same):
    assert (parameter_digest(name, one) == parameter_digest(name, other)) is same


def test_the_order_of_names_does_not_count():
    assert parameter_digest("x", {"a": 1, "b": 2}) == parameter_digest("x", {"b": 2, "a": 1})


@pytest.mark.parametrize("name", ["trainer", "trainer.engine", "imaging.n_jobs", "evaluation.batch_size"])
def test_where_and_how_have_no_digest(name):
    assert parameter_digest(name, 3) is None
    assert parameter_digest("model.width", 3) is not None
