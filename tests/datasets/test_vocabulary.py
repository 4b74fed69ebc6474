"""The vocabulary file with the rules of the user's own sources."""

import pytest
import yaml
from kedro.io import DatasetError

from unichest_kedro.datasets.vocabulary import VocabularyDataset
from unichest_kedro.vocabulary import Vocabulary


@pytest.fixture
def file(project):
    return str(project / "conf/base/vocabulary.yml")


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "films.csv").write_text("file,wet\na.png,1\n")
    return {"root": str(tmp_path), "table": "films.csv", "columns": {"path": "file"}, "labels": {"wet": "edema"}}


@pytest.mark.parametrize("sources", [(), [None], [{}], [{"chexpert": "/not/looked/at"}]])
def test_without_own_sources_it_is_the_file(project, file, sources):
    content = VocabularyDataset(filepath=file, sources=sources).load()
    assert content == yaml.safe_load((project / "conf/base/vocabulary.yml").read_text())


def test_own_sources_have_rules(file, mine):
    words = Vocabulary.from_mapping(VocabularyDataset(filepath=file, sources=[{"mine": mine}]).load())
    assert words.rules("mine").labels == {"wet": ("edema",)}
    assert words.annotated("mine") == ("edema",)
    # A saved model carries its vocabulary along, which is read without any configuration.
    assert Vocabulary.from_yaml(words.to_yaml()).rules("mine") == words.rules("mine")


def test_what_is_wrong_is_said(tmp_path, file, mine):
    with pytest.raises(DatasetError, match=r"names the finding 'oedema'.* Is it 'edema'\?"):
        VocabularyDataset(filepath=file, sources=[{"mine": {**mine, "labels": {"wet": "oedema"}}}]).load()
    (tmp_path / "broken.yml").write_text("findings: [")
    with pytest.raises(DatasetError, match="cannot be read as YAML"):
        VocabularyDataset(filepath=str(tmp_path / "broken.yml")).load()
    (tmp_path / "list.yml").write_text("- edema\n")
    with pytest.raises(DatasetError, match="holds no mapping"):
        VocabularyDataset(filepath=str(tmp_path / "list.yml")).load()
    with pytest.raises(DatasetError, match="read only"):
        VocabularyDataset(filepath=file).save({})


def test_existence(tmp_path, file):
    assert VocabularyDataset(filepath=file).exists()
    assert not VocabularyDataset(filepath=str(tmp_path / "gone.yml")).exists()
