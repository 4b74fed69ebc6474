"""What a user can get wrong: each mistake is one clear message or a quarantine row, never a silent skip."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from unichest_kedro.phantoms import PhantomSettings, make_phantoms

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, Path]:
    """Raw folders of two sources, as a user would have them."""
    settings = PhantomSettings(images_per_source=30, image_size=48, seed=5, n_jobs=1)
    folder = tmp_path_factory.mktemp("films")
    return {source: make_phantoms(source, folder / source, settings) for source in ("chexpert", "chestxray14")}


@pytest.fixture(scope="module")
def user(clone, tmp_path_factory) -> Path:
    """A clone of the project whose `conf/local` the tests write."""
    root = clone(tmp_path_factory.mktemp("user") / "project")
    (root / "conf/local/parameters.yml").write_text(yaml.safe_dump({"imaging": {"image_size": 48, "n_jobs": 1}}))
    return root


@pytest.fixture
def run(user, kedro):
    """Run `kedro run` with these sources and arguments; returns exit code and output."""

    def with_sources(sources: dict, *arguments: str, **more):
        settings = {"sources": {key: str(path) for key, path in sources.items()}, **more}
        (user / "conf/local/globals.yml").write_text(yaml.safe_dump(settings))
        done = kedro(user, "run", *arguments)
        assert "Traceback" not in done.stdout, done.stdout[-3000:]
        return done.returncode, done.stdout

    return with_sources


def test_broken_films_and_paths_go_to_quarantine_and_the_rest_goes_on(films, run, user, tmp_path):
    root = tmp_path / "CheXpert-v1.0-small"
    shutil.copytree(films["chexpert"], root)
    table = pd.read_csv(root / "train.csv")
    frontal = table.loc[table["Frontal/Lateral"] == "Frontal", "Path"].tolist()
    empty, cut, text, gone, moved = frontal[:5]
    (root.parent / empty).write_bytes(b"")
    whole = (root.parent / cut).read_bytes()
    (root.parent / cut).write_bytes(whole[: len(whole) // 2])
    (root.parent / text).write_text("not a picture")
    (root.parent / gone).unlink()
    table.loc[table["Path"] == moved, "Path"] = "../../../../etc/passwd"
    table.to_csv(root / "train.csv", index=False)

    code, output = run({"chexpert": root}, "--pipelines=ingest,images")

    assert code == 0, output[-3000:]
    folder = user / "data/02_intermediate/chexpert"
    ingestion = pd.read_parquet(folder / "ingestion_quarantine.parquet")
    imaging = pd.read_parquet(folder / "imaging_quarantine.parquet").set_index("path")["reason"]
    reasons = {path.removeprefix("CheXpert-v1.0-small/"): reason for path, reason in imaging.items()}
    short = [path.removeprefix("CheXpert-v1.0-small/") for path in (empty, cut, text)]
    assert set(reasons) == set(short)
    assert "empty" in reasons[short[0]]
    assert "truncated" in reasons[short[1]]
    assert "not a" in reasons[short[2]]
    assert sorted(ingestion["reason"]) == ["listed but not on disk", "path leaves the root"]
    studies = pd.read_parquet(folder / "studies.parquet")
    store = pd.read_parquet(folder / "images.parquet")
    assert len(store) == (studies["view"] == "frontal").sum() - 3


def test_a_renamed_column_is_named(films, run, tmp_path):
    root = tmp_path / "CheXpert-v1.0-small"
    shutil.copytree(films["chexpert"], root)
    table = pd.read_csv(root / "train.csv").rename(columns={"Edema": "Oedema"})
    table.to_csv(root / "train.csv", index=False)
    code, output = run({"chexpert": root}, "--pipelines=ingest")
    assert code == 1
    assert "train.csv" in output
    assert "Edema" in output


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({"chexpert": "chestxray14"}, ["chexpert", "chestxray14"]),
        ({"chexpert": None}, ["chexpert", "does not exist"]),
        ({"chexprt": "chexpert"}, ["chexprt", "mimic_cxr, chestxray14, chexpert, vindr_cxr"]),
    ],
)
def test_a_wrong_root_or_key_is_named(films, run, tmp_path, sources, words):
    given = {key: films[value] if value else tmp_path / "nowhere" for key, value in sources.items()}
    code, output = run(given, "--pipelines=ingest")
    assert code == 1
    assert all(word in output for word in words)


def test_an_unknown_finding_in_the_vocabulary_is_named(films, run, user):
    vocabulary = yaml.safe_load((user / "conf/base/vocabulary.yml").read_text())
    vocabulary["sources"]["chexpert"]["labels"]["Edema"] = "oedma"
    (user / "vocabulary.yml").write_text(yaml.safe_dump(vocabulary))
    code, output = run(
        {"chexpert": films["chexpert"]}, "--pipelines=ingest,reports,harmonise", vocabulary="vocabulary.yml"
    )
    assert code == 1
    assert "'oedma'" in output
    assert "'Edema'" in output


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--pipeline=pretrane", ["'pretrane'. Did you mean pretrain? Pipelines: ingest, images"]),
        ("--nodes=nonsense", ["does not contain nodes named ['nonsense']. `kedro registry describe`"]),
    ],
)
def test_a_pipeline_or_node_that_there_is_not_is_named(films, run, argument, words):
    code, printed = run(films, argument)
    assert code == 1
    assert all(word in printed for word in words) and "fault of the program" not in printed
