"""What guards the artefacts: half-written ones vanish, foreign ones and missing ones stop a run with one sentence."""

import json
import os
from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro_datasets.text import TextDataset

from unichest_kedro import hooks
from unichest_kedro.errors import MissingArtefact, SettingsError, VocabularyError
from unichest_kedro.hooks import ActiveSourcesHook, ArtefactHook, GlobalsHook
from unichest_kedro.journal import Journal, Record, digest_of
from unichest_kedro.training.settings import ConquerSettings

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


def saved(hook, catalog, name, *parents, content="whole"):
    node = Node(lambda *values: content, list(parents), name, name=name)
    hook.after_catalog_created(catalog)
    hook.before_dataset_saved(name, node)
    catalog.save(name, content)
    hook.after_dataset_saved(name, node)


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
    hook.before_dataset_saved("examples", node=None)
    (tmp_path / "data/.journal/examples.writing").write_text(str(os.getppid()))
    hook.after_catalog_created(catalog)
    assert catalog.exists("examples")
    assert (tmp_path / "data/.journal/examples.writing").exists()


def test_a_killed_writer_of_the_same_process_id_counts_as_gone(hook, catalog):
    catalog.save("examples", "half")
    hook.before_dataset_saved("examples", node=None)  # a container gives the next run the same id
    hook.after_catalog_created(catalog)
    assert not catalog.exists("examples")


def test_a_dataset_that_is_replaced_as_a_whole_survives_a_kill(hook, catalog):
    catalog.save("examples", "the former one")
    catalog.get("examples").saves_whole = True
    hook.before_dataset_saved("examples", node=None)
    hook.after_catalog_created(catalog)
    assert catalog.load("examples") == "the former one"


def test_an_input_older_than_what_it_was_made_from_is_refused(hook, catalog, monkeypatch):
    saved(hook, catalog, "chexpert_studies", content="first")
    saved(hook, catalog, "examples", "chexpert_studies")
    saved(hook, catalog, "conquer_model", "examples")
    saved(hook, catalog, "chexpert_studies", content="second")
    stages = {"text": run_of((["chexpert_studies"], "examples")), "conquer": run_of((["examples"], "conquer_model"))}
    monkeypatch.setattr(hooks, "pipelines", stages)
    with pytest.raises(SettingsError, match=r"'conquer_model' .* run `kedro run --pipelines=text,conquer` first"):
        hook.before_pipeline_run({}, run_of((["conquer_model"], "report")), catalog)


def test_the_same_content_made_again_is_not_a_change(hook, catalog):
    saved(hook, catalog, "chexpert_studies", content="first")
    saved(hook, catalog, "examples", "chexpert_studies")
    saved(hook, catalog, "chexpert_studies", content="first")
    hook.before_pipeline_run({}, run_of((["examples"], "conquer_model")), catalog)


def test_going_on_remakes_what_is_stale_and_keeps_the_rest(hook, catalog, caplog):
    saved(hook, catalog, "chexpert_studies", content="first")
    saved(hook, catalog, "examples", "chexpert_studies")
    saved(hook, catalog, "conquer_model", "examples")
    saved(hook, catalog, "chexpert_studies", content="second")  # and then the run was stopped
    whole = run_of(([], "chexpert_studies"), (["chexpert_studies"], "examples"), (["examples"], "conquer_model"))
    hook.before_pipeline_run({"only_missing_outputs": True}, whole, catalog)
    assert [catalog.exists(n) for n in ("chexpert_studies", "examples", "conquer_model")] == [True, False, False]
    assert "Removed 'conquer_model'" in caplog.text


def test_a_file_that_no_pipeline_makes_is_named(tmp_path, hook, monkeypatch):
    monkeypatch.setattr(hooks, "pipelines", {"text": run_of((["vocabulary"], "prompts"))})
    catalog = DataCatalog({"vocabulary": TextDataset(filepath=str(tmp_path / "typo.yml")), "prompts": MemoryDataset()})
    with pytest.raises(MissingArtefact, match=r"there is no file .*typo\.yml: correct the path in globals\.yml"):
        hook.before_pipeline_run({}, run_of((["vocabulary"], "prompts")), catalog)


def test_digest_of_a_folder_sees_names_and_content(tmp_path):
    (tmp_path / "a").write_text("1")
    first = digest_of(tmp_path)
    assert digest_of(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    second = digest_of(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, digest_of(tmp_path)}) == 3
    assert digest_of(tmp_path / "nothing") is None


def test_staleness_is_found_through_many_generations(tmp_path):
    journal = Journal(tmp_path)
    journal.open("x")
    for number in range(30):  # each made from all before it: a naive walk would take 2**30 steps
        parents = {f"n{k}": f"d{k}" for k in range(number)} | {"file": "old"}
        journal.record(f"n{number}", Record({}, f"d{number}", parents))
    assert journal.stale("n29", lambda name: "old") == set()
    assert len(journal.stale("n29", lambda name: "new")) == 30


def with_parameters(catalog, **values):
    """The catalog as a run of these parameters has it."""
    for name, value in values.items():
        catalog[f"params:{name}"] = MemoryDataset(value)
    return catalog


@pytest.fixture
def trained(hook, catalog):
    """Three artefacts in a chain, the first made with `conquer`, the second with `seed` and `trainer`."""
    with_parameters(catalog, conquer=ConquerSettings(epochs=3), seed=1, trainer={"engine": "local"})
    saved(hook, catalog, "chexpert_studies", "params:conquer")
    saved(hook, catalog, "examples", "chexpert_studies", "params:seed", "params:trainer", "parameters")
    saved(hook, catalog, "conquer_model", "examples")
    nodes = [([], "chexpert_studies"), (["chexpert_studies"], "examples"), (["examples"], "conquer_model")]
    return run_of(*nodes)


def there(catalog):
    return [catalog.exists(n) for n in ("chexpert_studies", "examples", "conquer_model")]


def test_going_on_remakes_what_was_made_with_another_parameter_and_all_that_follows(hook, catalog, trained, caplog):
    with_parameters(catalog, seed=2)
    hook.before_pipeline_run({"only_missing_outputs": True}, trained, catalog)
    assert there(catalog) == [True, False, False]
    assert "Removed 'examples': made with other parameters (seed)" in caplog.text
    assert "Removed 'conquer_model': what it was made from has changed since" in caplog.text


def test_settings_that_change_no_result_remake_nothing(hook, catalog, trained):
    quiet = ConquerSettings(epochs=3, num_workers=4, log_every=1, save_every=7, trackers=())
    with_parameters(catalog, conquer=quiet, trainer={"engine": "ray"})
    hook.before_pipeline_run({"only_missing_outputs": True}, trained, catalog)
    assert there(catalog) == [True, True, True]
    with_parameters(catalog, conquer=ConquerSettings(epochs=4))
    hook.before_pipeline_run({"only_missing_outputs": True}, trained, catalog)
    assert there(catalog) == [False, False, False]


def test_otherwise_another_parameter_is_a_warning(hook, catalog, trained, caplog):
    with_parameters(catalog, seed=2)
    hook.before_pipeline_run({}, run_of((["examples"], "conquer_model")), catalog)
    assert "examples: made with other parameters (seed); used as they are" in caplog.text
    assert there(catalog) == [True, True, True]
    hook.after_pipeline_run(trained)
    assert "examples: made with other parameters (seed); `kedro run --only-missing-outputs`" in caplog.text


def test_the_same_parameters_are_no_change(hook, catalog, trained, caplog):
    hook.before_pipeline_run({"only_missing_outputs": True}, trained, catalog)
    hook.after_pipeline_run(trained)
    assert there(catalog) == [True, True, True]
    assert caplog.text == ""


def test_a_journal_from_before_parameters_were_noted_is_read(tmp_path, hook, catalog, trained):
    file = tmp_path / "data/.journal/artefacts.json"
    records = json.loads(file.read_text())
    assert set(records["examples"]["parameters"]) == {"params:seed"}
    file.write_text(json.dumps({n: {k: v for k, v in r.items() if k != "parameters"} for n, r in records.items()}))
    with_parameters(catalog, seed=2)
    hook.before_pipeline_run({"only_missing_outputs": True}, trained, catalog)
    assert there(catalog) == [True, True, True]


def test_a_parameter_that_another_pipeline_takes_is_the_same_one_as_yaml_has_it(hook, catalog, trained, monkeypatch):
    def training(conquer: ConquerSettings) -> None: ...

    monkeypatch.setattr(hooks, "pipelines", {"conquer": Pipeline([Node(training, "params:conquer", None, name="t")])})
    monkeypatch.delitem(vars(hook), "_types", raising=False)
    with_parameters(catalog, conquer={"epochs": 3})  # Kedro makes settings only of what the run takes
    hook.before_pipeline_run({"only_missing_outputs": True}, trained, catalog)
    assert there(catalog) == [True, True, True]
    with_parameters(catalog, conquer={"epochs": 3, "batch_size": 4})
    hook.before_pipeline_run({"only_missing_outputs": True}, trained, catalog)
    assert there(catalog) == [False, False, False]


def test_a_parameter_that_this_run_lacks_is_not_compared(tmp_path, hook, catalog, trained):
    bare = DataCatalog({n: catalog.get(n) for n in ("chexpert_studies", "examples", "conquer_model")})
    hook.before_pipeline_run({"only_missing_outputs": True}, trained, bare)
    assert there(bare) == [True, True, True]


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


def test_a_source_whose_key_begins_like_anothers_is_its_own(tmp_path, hook, catalog):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "films.csv").write_text("file,wet\n")
    described = {"root": str(mine), "table": "films.csv", "columns": {"path": "file"}, "labels": {"wet": "edema"}}
    sources = {"chexpert": str(tmp_path), "chexpert_small": described}
    hook.after_context_created(context(tmp_path, sources=sources))
    assert hook._sources_of("chexpert_studies") == {"chexpert": str(tmp_path)}
    assert list(hook._sources_of("chexpert_small_studies")) == ["chexpert_small"]
    assert list(hook._sources_of("examples")) == ["chexpert", "chexpert_small"]


def test_other_options_are_other_data(tmp_path, hook, catalog):
    images = {"mimic_cxr": {"root": str(tmp_path), "labels": "chexpert"}}
    hook.after_context_created(context(tmp_path, sources=images))
    saved(hook, catalog, "examples")
    later = ArtefactHook()
    later.after_context_created(context(tmp_path, sources={"mimic_cxr": {"root": str(tmp_path), "labels": "negbio"}}))
    with pytest.raises(
        SettingsError, match=r"'examples' was made from mimic_cxr: .* now says .* \(options [0-9a-f]{8}\)"
    ):
        later.before_pipeline_run({}, run_of((["examples"], "report")), catalog)


def test_an_own_sources_finding_is_checked_before_any_work(tmp_path, project, monkeypatch):
    (tmp_path / "films.csv").write_text("file,wet\n")
    described = {"root": str(tmp_path), "table": "films.csv", "columns": {"path": "file"}, "labels": {"wet": "oedema"}}
    monkeypatch.setattr(hooks, "tell", lambda sources: False)
    given = context(tmp_path, sources={"mine": described}, vocabulary=str(project / "conf/base/vocabulary.yml"))
    with pytest.raises(
        VocabularyError, match=r"sources.mine: the label 'wet' names the finding 'oedema'.* Is it 'edema'"
    ):
        ActiveSourcesHook().after_context_created(given)


def test_a_run_that_has_nothing_to_train_on_stops_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "tell", lambda sources: False)
    hook = ActiveSourcesHook()
    hook.after_context_created(context(tmp_path, sources={"open_i": str(tmp_path)}, vocabulary="none.yml"))
    asked = DataCatalog({"params:train_on": MemoryDataset(["chexpert"])})
    with pytest.raises(SettingsError, match=r"nothing to train on: it names chexpert, .* at hand are open_i"):
        hook.before_pipeline_run(run_of((["examples"], "conquer_model")), asked)
    hook.before_pipeline_run(run_of((["examples"], "text")), asked)
    hook.before_pipeline_run(
        run_of((["examples"], "conquer_model")), DataCatalog({"params:train_on": MemoryDataset(["open_i"])})
    )


def test_a_text_encoder_that_is_not_there_stops_a_run_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "tell", lambda sources: False)
    hook = ActiveSourcesHook()
    hook.after_context_created(context(tmp_path, sources={"open_i": str(tmp_path)}, vocabulary="none.yml"))
    texts = run_of((["texts", "params:text_encoder", "params:model.width"], "text_encoder"))
    for encoder, words in (({"name": str(tmp_path / "none")}, "no such folder"), ({"width": 64}, "model.width is 128")):
        asked = DataCatalog({"params:text_encoder": MemoryDataset(encoder), "params:model.width": MemoryDataset(128)})
        with pytest.raises(SettingsError, match=words):
            hook.before_pipeline_run(texts, asked)


def test_globals_are_checked_before_anything_is_made_of_them(tmp_path):
    wrong = {"source": {"chexpert": "/x"}, "phantoms": {"image_size": "big"}, "data": None, "vocabulary": "v.yml"}
    with pytest.raises(SettingsError, match=r"(?s)3 settings are wrong:.*mean sources.*data is empty.*'big'") as caught:
        GlobalsHook().after_context_created(context(tmp_path, **wrong))
    assert str(caught.value).endswith("write yours into conf/local/globals.yml.")
    right = {"sources": {}, "train_on": [], "phantoms": {"image_size": 64}, "vocabulary": "v.yml", "films": "/films"}
    GlobalsHook().after_context_created(context(tmp_path, **right))
