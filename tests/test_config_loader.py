"""The place of the data is said once and holds in every environment."""

from pathlib import Path

import pytest

from unichest_kedro.config_loader import LocalGlobalsConfigLoader


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for env, text in {
        "base": "sources: {}\ndata: data\n",
        "local": "sources: {chexpert: /films}\n",
        "paper": "data: data/paper\n",
    }.items():
        (tmp_path / env).mkdir()
        (tmp_path / env / "globals.yml").write_text(text)
    return tmp_path


def loader(conf: Path, env: str | None) -> LocalGlobalsConfigLoader:
    return LocalGlobalsConfigLoader(conf_source=str(conf), env=env, base_env="base", default_run_env="local")


def test_local_globals_hold_without_an_environment(conf):
    assert loader(conf, None)["globals"] == {"sources": {"chexpert": "/films"}, "data": "data"}


def test_local_globals_hold_in_another_environment(conf):
    assert loader(conf, "paper")["globals"] == {"sources": {"chexpert": "/films"}, "data": "data/paper"}


def test_the_environments_own_globals_win(conf):
    (conf / "paper" / "globals.yml").write_text("sources: {vindr_cxr: /other}\n")
    assert loader(conf, "paper")["globals"]["sources"] == {"vindr_cxr": "/other"}


def test_interpolations_see_the_same_globals(conf):
    (conf / "base" / "parameters.yml").write_text("roots: ${globals:sources}\nwhere: ${globals:data}\n")
    assert loader(conf, "paper")["parameters"] == {"roots": {"chexpert": "/films"}, "where": "data/paper"}


def test_an_empty_local_file_changes_nothing(conf):
    (conf / "local" / "globals.yml").write_text("")
    assert loader(conf, "paper")["globals"]["sources"] == {}
