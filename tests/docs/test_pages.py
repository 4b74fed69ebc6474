"""What people read names pipelines, parameters, targets and files that exist."""

import re
import tomllib
from pathlib import Path

import draw_idea
import matplotlib as mpl
import pytest
import yaml
from pre_commit.clientlib import load_config

COMMAND = re.compile(r"kedro run(?P<rest>(?:[ \t]+(?:\[?--[^\s`#|]+|\"[^\"`]*\"))*)")


def _options(pages, name):
    """The values of an option in every `kedro run` of every page, with the page."""
    for page, text in pages.items():
        for command in COMMAND.finditer(text):
            for found in re.findall(rf"--{name}[= ]\"?([^\s`\"\]]+)", command["rest"]):
                yield page, found


def test_commands_name_pipelines_that_exist(pages, registered):
    named = [*_options(pages, "pipeline"), *_options(pages, "pipelines")]
    assert len(named) > 20
    for page, value in named:
        for pipeline in value.split(","):
            assert pipeline in registered or pipeline == "X", f"{page}: there is no pipeline {pipeline!r}"


def test_the_first_run_has_as_many_tasks_as_it_says(pages, registered):
    said = re.findall(r"out of (\d+) tasks", pages["docs/first_run.md"])
    assert said == [str(len(registered["__default__"].nodes))]


def test_commands_name_parameters_that_exist(pages, site):
    shown = set(re.findall(r"<code>([\w.]+)</code>", site.page("reference/parameters.html")))
    named = list(_options(pages, "params"))
    assert len(named) > 5
    for page, value in named:
        for name in re.findall(r"(?:^|,)\[?([a-z_]+(?:\.[a-z_]+)*)=", value):
            assert name in shown, f"{page}: there is no parameter {name!r}"


def test_commands_name_environments_that_exist(pages, project):
    for page, name in _options(pages, "env"):
        assert (project / "conf" / name).is_dir(), f"{page}: there is no environment {name!r}"


def test_pages_name_make_targets_that_exist(pages, project):
    targets = set(re.findall(r"^([a-z]+):", (project / "Makefile").read_text(), re.MULTILINE))
    for page, text in pages.items():
        for target in re.findall(r"(?:`|^|, )make ([a-z]+)(?=[`\s])", text, re.MULTILINE):
            assert target in targets, f"{page}: there is no target {target!r}"


def test_files_named_in_pages_exist(pages, project):
    for page, text in pages.items():
        for name in re.findall(r"`((?:src|conf/base|conf/open|conf/paper|benchmarks|docs)/[\w/.-]+\.\w+)`", text):
            assert (project / name).is_file(), f"{page}: there is no file {name}"


def test_links_between_files_of_the_repository_lead_somewhere(pages, project):
    for page, text in pages.items():
        if page.startswith("docs/"):
            continue  # the strict build checks those
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
            assert (project / Path(page).parent / target).exists(), f"{page}: dead link {target}"


def test_the_readme_is_short(pages):
    assert len(pages["README.md"].splitlines()) < 150


@pytest.mark.parametrize("name", draw_idea.LOOKS)
def test_the_figure_is_what_its_script_draws(project, tmp_path, name):
    drawn = tmp_path / "idea.svg"
    with mpl.rc_context(draw_idea.SVG):
        draw_idea.draw(draw_idea.LOOKS[name]).savefig(drawn, transparent=True, metadata={"Date": None})
    assert drawn.read_bytes() == (project / f"docs/images/idea-{name}.svg").read_bytes()


def test_the_citation_is_of_this_version(project):
    citation = yaml.safe_load((project / "CITATION.cff").read_text())
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == about["version"]
    assert citation["license"] == about["license"]
    assert citation["preferred-citation"]["doi"].startswith("10.1109/TMI")
    assert f"## {about['version']} - {citation['date-released']}" in (project / "CHANGELOG.md").read_text()


def test_hooks_before_a_commit_download_nothing(project):
    config = load_config(str(project / ".pre-commit-config.yaml"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {"ruff-check", "ruff-format"} <= {hook["id"] for hook in hooks}
    languages = {hook["language"] for hook in hooks}
    assert languages <= {"system", "unsupported", "fail"}  # pre-commit has its own word for "system"
