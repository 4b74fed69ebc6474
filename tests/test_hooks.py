"""What guards the artefacts: half-written ones vanish, foreign ones and missing ones stop a run with one sentence."""

import os
from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.text import TextDataset

from unichest_kedro import hooks
from unichest_kedro.errors import MissingArtefact, SettingsError
from unichest_kedro.hooks import ArtefactHook, Journal

DEAD = "999999999"


def context(root, **config):
    return SimpleNamespace(
        project_path=root,
        config_loader={"globals": {"data": "data", "phantoms": {"seed": 1}, "sources": {}} | config},
    )


@pytest.fixture
def catalog(tmp_path):
    names = ("chexpert_studies", "examples", "conquer_model")
    return DataCatalog({n: TextDataset(filepath=str(tmp_path / "data" / f"{n}.txt")) for n in names})


@pytest.fixture
def hook(tmp_path):
    made = ArtefactHook()
    made.after_context_created(context(tmp_path))
    return made


def saved(hook, catalog, name):
    hook.before_dataset_saved(name, node=None)
    catalog.save(name, "whole")
    hook.after_dataset_saved(name, node=None)


def run_of(*nodes):
    return Pipeline([Node(lambda *a: "x", list(ins), out, name=out) for ins, out in nodes])


def test_a_dataset_whose_writer_died_is_removed(tmp_path, hook, catalog, caplog):
    catalog.save("examples", "half")
    hook.before_dataset_saved("examples", node=None)
    (tmp_path / "data/.journal/examples.writing").write_text(DEAD)
    hook.after_catalog_created(catalog)
    assert not catalog.exists("examples")
    assert "examples" in caplog.text


def test_a_dataset_that_another_run_is_writing_is_left_alone(tmp_path, hook, catalog):
    catalog.save("examples", "growing")
    Journal(tmp_path / "data").open("examples")  # this very process is alive
    hook.after_catalog_created(catalog)
    assert catalog.exists("examples")
    assert (tmp_path / "data/.journal/examples.writing").read_text() == str(os.getpid())


def test_a_finished_dataset_is_kept(hook, catalog):
    saved(hook, catalog, "examples")
    hook.after_catalog_created(catalog)
    assert catalog.load("examples") == "whole"


def test_missing_input_says_what_to_run_first(hook, catalog, monkeypatch):
    stages = {
        "conquer": run_of((["examples"], "conquer_model")),
        "pretrain": run_of(([], "examples"), (["examples"], "conquer_model")),
    }
    monkeypatch.setattr(hooks, "pipelines", stages)
    asked = run_of((["conquer_model"], "report"))
    with pytest.raises(
        MissingArtefact,
        match=r"evaluate needs conquer_model, which is not there yet: run `kedro run --pipeline=pretrain` first",
    ):
        hook.before_pipeline_run({"pipeline_names": ["evaluate"]}, asked, catalog)


def test_parameters_are_no_missing_input(hook):
    asked = run_of((["params:seed", "parameters"], "report"))
    hook.before_pipeline_run({}, asked, DataCatalog({"report": MemoryDataset()}))


def test_an_input_made_from_phantoms_is_refused_for_real_data(tmp_path, hook, catalog):
    saved(hook, catalog, "chexpert_studies")
    (tmp_path / "films").mkdir()
    later = ArtefactHook()
    later.after_context_created(context(tmp_path, sources={"chexpert": str(tmp_path / "films")}))
    with pytest.raises(SettingsError, match=r"'chexpert_studies' was made from chexpert: phantoms .* but .*films"):
        later.before_pipeline_run({}, run_of((["chexpert_studies"], "examples")), catalog)


def test_an_existing_output_of_other_data_is_not_kept_as_present(tmp_path, hook, catalog):
    saved(hook, catalog, "examples")
    later = ArtefactHook()
    later.after_context_created(context(tmp_path, phantoms={"seed": 2}))
    asked = run_of(([], "examples"))
    later.before_pipeline_run({"only_missing_outputs": False}, asked, catalog)
    with pytest.raises(SettingsError, match="without --only-missing-outputs"):
        later.before_pipeline_run({"only_missing_outputs": True}, asked, catalog)


def test_the_same_data_are_accepted_again(tmp_path, hook, catalog):
    saved(hook, catalog, "examples")
    again = ArtefactHook()
    again.after_context_created(context(tmp_path))
    again.before_pipeline_run({"only_missing_outputs": True}, run_of((["examples"], "conquer_model")), catalog)
