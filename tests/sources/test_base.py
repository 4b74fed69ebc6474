import pytest

from unichest_kedro.errors import SettingsError
from unichest_kedro.sources import SOURCES, check_source_keys


def test_known_folders_become_paths(tmp_path):
    assert check_source_keys({"chexpert": str(tmp_path), "vindr_cxr": tmp_path}) == {
        "chexpert": tmp_path,
        "vindr_cxr": tmp_path,
    }
    assert check_source_keys(None) == {}


def test_unknown_key_lists_the_known_ones(tmp_path):
    with pytest.raises(SettingsError, match="unknown source 'chexprt'") as error:
        check_source_keys({"chexprt": str(tmp_path)})
    assert all(key in str(error.value) for key in SOURCES)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "3 is not a path"),
        (None, "None is not a path"),
        ("  ", "is not a path"),
        ("nowhere/at/all", "nowhere/at/all does not exist"),
        (__file__, "is a file, not a folder"),
    ],
)
def test_values_that_are_no_folder(value, words):
    with pytest.raises(SettingsError, match=words) as error:
        check_source_keys({"mimic_cxr": value})
    assert "sources.mimic_cxr" in str(error.value)


def test_not_a_mapping():
    with pytest.raises(SettingsError, match="is not a mapping"):
        check_source_keys("chexpert")
