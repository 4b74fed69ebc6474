"""The walk through a source of one's own: what the page shows is run as it stands there."""

import re

import numpy as np
import pytest
import yaml
from PIL import Image

from unichest_kedro.datasets.vocabulary import VocabularyDataset
from unichest_kedro.imaging.store import ImagingSettings, update_image_store
from unichest_kedro.schemas import Labels, Studies
from unichest_kedro.sources import IngestionSettings, check_source_keys, ingest, trained_sources
from unichest_kedro.vocabulary import Vocabulary, harmonise


def block(page: str, language: str) -> str:
    return re.search(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]


@pytest.fixture(scope="module")
def page(project):
    return (project / "docs/own_source.md").read_text()


@pytest.fixture
def configured(page, tmp_path):
    """The page's configuration, its root moved into a temporary folder with the page's table and drawn films."""
    config, table = yaml.safe_load(block(page, "yaml")), block(page, "csv")
    config["sources"]["my_hospital"]["root"] = str(tmp_path)
    (tmp_path / "films.csv").write_text(table)
    rng = np.random.default_rng(1)
    for line in table.splitlines()[1:]:
        film = tmp_path / line.split(",")[0]
        film.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 48), dtype=np.uint8)).save(film)
    return config


def test_the_example_runs_from_table_to_labels(configured, project, tmp_path):
    (key, entry), *others = check_source_keys(configured["sources"]).items()
    assert (key, others) == ("my_hospital", [])
    train_on = trained_sources(configured["train_on"], [key])
    studies, _, quarantine = ingest(key, entry.root, IngestionSettings(train_on=train_on), entry.options)
    Studies.validate(studies)
    assert quarantine.empty
    assert studies["split"].tolist() == ["train"] * 4 + ["val", "test"]
    assert studies["view"].tolist() == ["frontal", "lateral", "frontal", "frontal", "frontal", "frontal"]

    settings = ImagingSettings(image_size=32, views=("frontal",), n_jobs=1)
    store, unread = update_image_store(studies, entry.root, tmp_path / "cache", settings, description=key)
    assert unread.empty and len(store) == 5 and store[0].shape == (32, 38)

    file = str(project / "conf/base/vocabulary.yml")
    words = Vocabulary.from_mapping(VocabularyDataset(filepath=file, sources=[configured["sources"]]).load())
    labels = harmonise(studies, words).labels
    Labels.validate(labels)
    rows = labels.set_index("image_id")
    assert rows.loc["films/a1.png", ["pleural effusion", "pneumothorax", "cardiomegaly"]].tolist() == [1, 0, -1]
    assert rows.loc["films/b1.png", ["pleural effusion", "cardiomegaly", "No Finding"]].tolist() == [0, -1, 0]
    assert rows.loc["films/b2.png", ["pneumothorax", "cardiomegaly", "No Finding"]].tolist() == [0, 1, 0]
    assert rows.loc["films/d1.png", ["pleural effusion", "pneumothorax", "cardiomegaly", "No Finding"]].tolist() == [
        0,
        0,
        0,
        1,
    ]
    assert (rows["consolidation"] == -1).all()


def test_every_key_of_the_description_is_on_the_page(page):
    from unichest_kedro.sources.own_options import OwnBoxes, OwnColumns, OwnLabelList, OwnOptions

    keys = [key for model in (OwnOptions, OwnColumns, OwnLabelList, OwnBoxes) for key in model.model_fields]
    assert [key for key in keys if not re.search(rf"\b{key}\b", page)] == []


def test_the_other_blocks_are_valid_descriptions(page, configured, tmp_path):
    own = configured["sources"]["my_hospital"]
    for text in re.findall(r"^```yaml\n(    .*?)^```", page, re.MULTILINE | re.DOTALL):
        (key,) = yaml.safe_load(text)
        entry = check_source_keys({"my_hospital": {**own, **yaml.safe_load(text)}})["my_hospital"]
        assert getattr(entry.options, key) is not None
