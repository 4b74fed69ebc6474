"""Which sources take part, as the configuration says."""

import pytest

from unichest_kedro import active_sources
from unichest_kedro.active_sources import check_own_sources, sources_in, tell
from unichest_kedro.errors import SettingsError, VocabularyError
from unichest_kedro.sources import SOURCES


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "films.csv").write_text("file,wet\na.png,1\n")
    return {"root": str(tmp_path), "table": "films.csv", "columns": {"path": "file"}, "labels": {"wet": "edema"}}


@pytest.mark.parametrize("listed", [None, {}])
def test_none_listed_means_every_phantom(listed):
    assert sources_in({"sources": listed}) == sources_in({}) == SOURCES


def test_listed_ones_come_in_order_with_own_ones_last(tmp_path, mine):
    folder = str(tmp_path)
    given = {"mine": mine, "padchest": folder, "mimic_cxr": {"root": folder}}
    assert sources_in({"sources": given, "train_on": ["mine", "chexpert"]}) == ("mimic_cxr", "padchest", "mine")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"train_on": ["chexprt"]}, "train_on: unknown source 'chexprt'"),
        ({"train_on": "chexpert"}, "is not a list"),
        ({"sources": {"chexprt": "/x"}}, "unknown source 'chexprt'"),
        ({"sources": "chexpert"}, "is not a mapping"),
    ],
)
def test_wrong_configuration(config, words):
    with pytest.raises(SettingsError, match=words):
        sources_in(config)


def test_own_sources_are_checked_against_the_vocabulary_before_any_work(project, mine):
    config = {"sources": {"mine": mine}, "vocabulary": "conf/base/vocabulary.yml"}
    check_own_sources(config, project)
    mine["labels"]["wet"] = "Edemas"
    with pytest.raises(VocabularyError, match=r"sources.mine: the label 'wet' names the finding 'Edemas'"):
        check_own_sources(config, project)
    check_own_sources({**config, "vocabulary": "no/such/file.yml"}, project)  # a missing file is said elsewhere
    check_own_sources({"sources": {"chexpert": "/x"}, "vocabulary": "conf/base/vocabulary.yml"}, project)


def test_what_was_told_is_kept(monkeypatch):
    monkeypatch.setattr(active_sources, "_told", None)
    assert tell(("chexpert",)) and not tell(("chexpert",))
    assert active_sources.active_sources() == ("chexpert",)
    assert tell(("chexpert", "mine"))


def test_without_a_session_the_configuration_is_read(monkeypatch, project):
    monkeypatch.setattr(active_sources, "_told", None)
    monkeypatch.chdir(project)
    monkeypatch.setenv("KEDRO_ENV", "open")
    monkeypatch.setattr(
        active_sources.settings.CONFIG_LOADER_CLASS, "__getitem__", lambda self, key: {"sources": {}, "env": self.env}
    )
    assert active_sources.active_sources() == SOURCES
