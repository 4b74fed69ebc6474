import pandas as pd
import pytest

from unichest_kedro.errors import SettingsError
from unichest_kedro.sources import SOURCES, TRAINED_ON, check_train_on, in_order, trained_sources
from unichest_kedro.sources.base import projections


def test_known_sources_come_in_the_projects_order_and_own_ones_after_them():
    given = ["zebra", "padchest", "chexpert", "alpha", "mimic_cxr", "zebra"]
    assert in_order(given) == ("mimic_cxr", "chexpert", "padchest", "zebra", "alpha")
    assert in_order(reversed(SOURCES)) == SOURCES


def test_trained_sources_are_the_active_ones_of_the_list():
    assert trained_sources(TRAINED_ON, SOURCES) == TRAINED_ON
    assert trained_sources(["open_i", "chestxray14", "mimic_cxr"], ["mine", "open_i", "chestxray14"]) == (
        "chestxray14",
        "open_i",
    )
    assert trained_sources(["mine", "open_i"], ["mine", "open_i"]) == ("open_i", "mine")


def test_nothing_to_train_on():
    with pytest.raises(SettingsError, match=r"nothing to train on: it names mimic_cxr, .* at hand are shenzhen, mine"):
        trained_sources(TRAINED_ON, ["mine", "shenzhen"])
    with pytest.raises(SettingsError, match=r"it names no source"):
        trained_sources([], SOURCES)


def test_train_on_names_a_source_that_does_not_exist():
    with pytest.raises(SettingsError, match=r"unknown source 'chexprt'. Known sources: mimic_cxr, .*; your own: mine"):
        check_train_on(["chexprt"], ["mine", "chexpert"])
    with pytest.raises(SettingsError, match=r"unknown source 'mine'"):
        trained_sources(["mine"], SOURCES)


@pytest.mark.parametrize("value", ["chexpert", None, 3, {"chexpert": True}])
def test_train_on_is_no_list(value):
    with pytest.raises(SettingsError, match="is not a list"):
        check_train_on(value, SOURCES)


def test_projections_are_known_where_a_word_says_so():
    words = pd.Series(["PA", "AP", "AP_horizontal", "ap", "LL", "LATERAL", "PARTIAL", "", None])
    assert projections(words).tolist() == ["PA", "AP", "AP", "AP", "", "", "", "", ""]
