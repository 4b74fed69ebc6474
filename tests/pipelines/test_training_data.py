"""What the pretrain nodes hand to training: the sources of `train_on`, without what they know one-sidedly."""

import inspect

import numpy as np
import pandas as pd
import pytest
import yaml

from unichest_kedro.datasets.official_folder import SourceFolder
from unichest_kedro.errors import MissingArtefact, SettingsError
from unichest_kedro.pipelines.pretrain import nodes
from unichest_kedro.pipelines.training_data import training_data as put_together
from unichest_kedro.vocabulary import Vocabulary

FINDINGS = ("edema", "mass", "hernia")
RULES = {
    "labels": {name: name for name in FINDINGS},
    "uncertain": "ignore",
    "not_mentioned": "unknown",
    "readers": "any",
    "no_finding_exhaustive": False,
}
SPLITS = ["train", "train", "train", "val", "test"]
TRAINED = ("chestxray14", "open_i")


class Store(list):
    """Films of a source, by row, with their ids."""

    def __init__(self, source):
        super().__init__(np.full((8, 8), number, dtype=np.uint8) for number in range(len(SPLITS)))
        self.image_ids = pd.Index([f"{source}{number}" for number in range(len(SPLITS))])


def vocabulary():
    findings = [{"name": name, "prompt": name} for name in FINDINGS]
    sources = dict.fromkeys((*TRAINED, "shenzhen"), RULES)
    return Vocabulary.from_mapping({"findings": findings, "sources": sources})


def tables(edema=(1, 0, 1, 0, 1)):
    made, examples = {}, []
    for source in (*TRAINED, "shenzhen"):
        ids = [f"{source}{number}" for number in range(len(SPLITS))]
        labels = pd.DataFrame({"source": source, "image_id": ids}).assign(
            edema=np.array(edema, dtype=np.int8),
            mass=np.array([1, -1, -1, 0, 0] if source == "open_i" else [0, 1, -1, 0, 1], dtype=np.int8),
            hernia=np.int8(-1),
        )
        made |= {
            f"{source}_images": Store(source),
            f"{source}_labels": labels,
            f"{source}_root": SourceFolder(source, None, phantom=source == "open_i"),
        }
        rows = range(len(SPLITS))
        examples.append(
            pd.DataFrame(
                {
                    "source": source,
                    "image_id": ids,
                    "patient_id": ids,
                    "split": SPLITS,
                    "image_row": rows,
                    "label_row": rows,
                    "text_row": -1,
                }
            )
        )
    return pd.concat(examples, ignore_index=True), made


def training_data(examples, made, train_on=TRAINED):
    texts = np.zeros((0, 4), dtype=np.float32)
    return put_together(examples, texts, vocabulary(), 7, train_on, made)


def test_only_the_sources_of_train_on_are_trained_and_validated_on():
    data, facts = training_data(*tables())
    assert data.sources == TRAINED
    assert set(data.examples["source"]) == set(data.labels) == set(data.stores) == set(data.findings_by_source)
    assert [data.image_ids(data.rows("val", source)) for source in TRAINED] == [
        ["chestxray14/chestxray143"],
        ["open_i/open_i3"],
    ]
    assert facts["trained_on"] == list(TRAINED)
    assert facts["training_films"] == {"chestxray14": 3, "open_i": 3}
    assert facts["Trained on"] == "chestxray14 (3 films), phantoms of open_i (3 films)"
    assert facts["phantoms"] == ["open_i"]


def test_what_a_source_knows_only_as_present_is_left_out_named_and_noted(caplog):
    data, facts = training_data(*tables())
    column = FINDINGS.index("mass")
    assert data.labels["open_i"][:, column].tolist() == [-1] * 5
    assert data.labels["chestxray14"][:, column].tolist() == [0, 1, -1, 0, 1]
    assert "open_i knows in one way only: mass" in caplog.text
    assert facts["one_sided"] == {"open_i": ["mass"]}
    assert facts["Left out of training, known in one way only"] == "open_i: mass"
    assert facts["findings_asked"] == ["edema", "mass"]
    assert facts["Findings asked in training"] == "edema, mass"


def test_nothing_is_said_of_what_is_not_left_out():
    _, facts = training_data(*tables(), train_on=["chestxray14"])
    assert facts["one_sided"] == {}
    assert not any("left out" in name.lower() for name in facts)


def test_nothing_to_train_on_is_named():
    examples, made = tables()
    with pytest.raises(SettingsError, match=r"train_on: there is nothing to train on"):
        training_data(examples, made, train_on=["padchest"])


def test_a_source_without_training_films_is_named(caplog):
    examples, made = tables()
    examples.loc[examples["source"] == "open_i", "split"] = "test"
    _, facts = training_data(examples, made)
    assert "train_on names open_i, which has no training film" in caplog.text
    assert facts["trained_on"] == ["chestxray14"]


def test_tables_of_another_run_are_refused_for_sources_that_are_trained_on():
    examples, made = tables()
    made["shenzhen_labels"] = made["shenzhen_labels"][::-1].reset_index(drop=True)
    training_data(examples, made)
    made["open_i_labels"] = made["open_i_labels"][::-1].reset_index(drop=True)
    with pytest.raises(MissingArtefact, match="open_i were joined with other images or labels"):
        training_data(examples, made)


@pytest.mark.parametrize("stage", ["conquer", "divide", "continue_conquering"])
def test_no_epoch_is_chosen_by_a_film_that_another_source_tests_on(stage, monkeypatch, caplog):
    examples, _ = tables()
    pairs = pd.DataFrame(
        {
            "source_a": ["chestxray14", "chestxray14"],
            "image_a": ["chestxray143", "chestxray140"],
            "split_a": ["val", "train"],
            "source_b": "shenzhen",
            "image_b": ["shenzhen4", "shenzhen3"],
            "split_b": ["test", "val"],
        }
    )
    seen = {}

    def stop(examples, *_):
        seen["examples"] = examples
        raise KeyboardInterrupt

    monkeypatch.setattr(nodes, "training_data", stop)
    given = {"examples": examples, "leakage_pairs": pairs, "vocabulary": yaml.safe_load(vocabulary().to_yaml())}
    node = getattr(nodes, stage)
    others = [name for name in inspect.signature(node).parameters if name not in (*given, "tables")]
    with pytest.raises(KeyboardInterrupt), caplog.at_level("INFO"):
        node(**given, **dict.fromkeys(others))
    kept = seen["examples"]
    assert len(kept) == len(examples) - 1 and "chestxray143" not in set(kept["image_id"])
    assert "1 validation film of chestxray14 left out of validation" in caplog.text
