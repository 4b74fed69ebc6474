"""The place of the data is said once and holds in every environment."""

from pathlib import Path

import pytest

from unichest_kedro.config_loader import LocalGlobalsConfigLoader
from unichest_kedro.errors import SettingsError


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("sources: {chexpert: /films\n", "local/globals.yml, line 2, column 1: expected ',' or '}'"),
        ("sources:\n\tchexpert: /films\n", "local/globals.yml, line 2, column 1: found character '\\t'"),
        ("- chexpert\n", "local/globals.yml must hold names with values, such as `seed: 42`, and holds a list."),
        ("/films\n", "local/globals.yml must hold names with values, such as `seed: 42`, and holds '/films'."),
        (b"sources: {chexpert: /f\xe9lms}\n", "local/globals.yml: 'utf-8' codec can't decode byte 0xe9"),
    ],
)
@pytest.mark.parametrize("env", [None, "paper"])
def test_a_file_that_cannot_be_read_is_named_with_the_line(conf, env, content, words):
    (conf / "local" / "globals.yml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError) as caught:
        loader(conf, env)["globals"]
    assert str(caught.value).startswith(f"{conf.name}/{words}")


def test_an_environment_that_is_not_there_is_named_with_those_there_are(conf):
    for key in ("globals", "parameters"):
        with pytest.raises(SettingsError, match=r"no environment 'papr' in .*: there is local, paper"):
            loader(conf, "papr")[key]


def test_the_place_of_a_global_is_known(conf):
    made = loader(conf, "paper")
    places = {"data": "paper", "data.inner": "paper", "sources.chexpert": "local", "sources.other": "local"}
    assert {name: made.global_said_in(name) for name in places} == {
        name: f"{conf.name}/{env}/globals.yml" for name, env in places.items()
    }
    assert made.global_said_in("nothing") == "globals.yml"


def test_an_empty_local_file_changes_nothing(conf):
    (conf / "local" / "globals.yml").write_text("")
    assert loader(conf, "paper")["globals"]["sources"] == {}


@pytest.fixture
def parameters(conf):
    (conf / "base" / "parameters_training.yml").write_text("conquer: {epochs: 3, inner: {rate: 1}}\n")
    (conf / "base" / "parameters.yml").write_text("where: ${globals:data}\nfilms: ${globals:sources}\n")
    (conf / "local" / "parameters.yml").write_text("conquer: {epochs: null}\n")
    return conf


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("conquer.epochs", "local/parameters.yml"),
        ("conquer.inner.rate", "base/parameters_training.yml"),
        ("conquer.inner.absent", "base/parameters_training.yml"),
        ("where", "base/globals.yml"),
        ("films", "local/globals.yml"),
        ("nothing.at.all", ""),
        ("seed", "--params"),
    ],
)
def test_a_parameters_place_is_known(parameters, name, place):
    made = LocalGlobalsConfigLoader(
        conf_source=str(parameters), base_env="base", default_run_env="local", runtime_params={"seed": 3}
    )
    assert made.said_in(name) == (f"{parameters.name}/{place}" if place and place != "--params" else place)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("conquer:\n  epochs: 3\n   batch: 1\n", r"parameters\.yml, line 3, column 9: .*YAML"),
        ("conquer: {epochs: '${globals:absent}'}\n", r"conquer\.epochs in the configuration.*absent"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(conf, text, words):
    (conf / "local" / "parameters.yml").write_text(text)
    with pytest.raises(SettingsError, match=words):
        loader(conf, None)["parameters"]
