import pytest
from pydantic import ValidationError

from unichest_kedro.errors import SettingsError
from unichest_kedro.leakage.overlaps import known_overlaps, published_overlaps
from unichest_kedro.leakage.settings import KnownOverlap, LeakageSettings
from unichest_kedro.sources.base import SOURCES


def test_published_overlaps_are_of_known_sources_and_say_why():
    for overlap in published_overlaps():
        assert set(overlap.sources) <= {*SOURCES, "own"}
        assert overlap.why.endswith(".")


def test_siim_acr_within_chestxray14_is_told_in_the_order_of_the_sources():
    told = known_overlaps(["chestxray14", "shenzhen", "siim_acr"])
    assert list(told) == [("chestxray14", "siim_acr")]
    assert "taken from ChestX-ray14" in told["chestxray14", "siim_acr"]


def test_an_own_source_may_hold_films_of_published_ones():
    told = known_overlaps(["vindr_cxr", "shenzhen", "my_films"])
    assert list(told) == [("vindr_cxr", "my_films")]
    assert "VinBigData" in told["vindr_cxr", "my_films"]


def test_overlaps_of_the_user_are_added():
    more = [KnownOverlap(sources=("my_films", "padchest"), why="We asked them.")]
    assert known_overlaps(["padchest", "my_films"], more) == {("padchest", "my_films"): "We asked them."}
    assert known_overlaps(["shenzhen", "open_i"], [KnownOverlap(sources=("siim_acr", "open_i"), why="?")]) == {}
    both = [KnownOverlap(sources=("siim_acr", "chestxray14"), why="Again.")]
    assert known_overlaps(["chestxray14", "siim_acr"], both)["chestxray14", "siim_acr"].endswith(" Again.")


def test_an_overlap_with_an_unknown_source_is_refused():
    with pytest.raises(SettingsError, match=r"known_overlaps names the unknown source 'padchst'; known are"):
        known_overlaps(["padchest"], [KnownOverlap(sources=("padchst", "open_i"), why="?")])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_distance": 32}, "max_distance"),
        ({"max_distance": -1}, "max_distance"),
        ({"min_correlation": 0}, "min_correlation"),
        ({"n_jobs": 0}, "n_jobs 0 means no worker"),
        ({"known_overlaps": [{"sources": ["open_i", "open_i"], "why": "x"}]}, "name two different sources"),
        ({"known_overlaps": [{"sources": ["open_i", "padchest"], "why": ""}]}, "why"),
        ({"distance": 3}, "distance"),
    ],
)
def test_wrong_settings_are_refused_by_name(values, words):
    with pytest.raises(ValidationError, match=words):
        LeakageSettings.model_validate(values)
