"""A folder made from a published checkpoint is asked like every other."""

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.unichest import UniChest

from ..models.conftest import SMALL_SIZES, image_shapes, model_shapes, random_section
from .conftest import VOCABULARY


@pytest.fixture(scope="module")
def official_folder(tmp_path_factory):
    shapes = {"model": model_shapes, "image_encoder": image_shapes}
    checkpoint = {name: random_section(shapes[name](**SMALL_SIZES[name]), seed) for seed, name in enumerate(shapes)}
    checkpoint["config"] = {"image_res": 64, "lam": [1.0, 0.4]}
    findings = ("pleural effusion", "pneumothorax", "hernia", "No Finding")
    embeddings = np.random.default_rng(0).normal(size=(4, 24))
    model = UniChest.from_official(checkpoint, findings, embeddings, image_size=64)
    model.vocabulary = VOCABULARY
    model.facts = {"Imported from": "x.pt", "trained_on": ["mimic_cxr"]}
    folder = tmp_path_factory.mktemp("official") / "official"
    model.save_pretrained(folder)
    return folder


def test_all_that_an_imported_model_knows_is_asked(official_folder, films):
    model = UniChest.from_pretrained(official_folder)
    table = model.predict(films[:2])
    assert table["finding"].tolist() == list(model.findings) * 2
    assert table["probability"].between(0, 1).all()
    assert table["trained"].isna().all()
    assert [name for name in table.columns if name.startswith("expert")] == ["expert_1", "expert_2"]
    alone = model.predict(films[:2], ["ptx"])
    pd.testing.assert_series_equal(
        alone["probability"], table.loc[table["finding"] == "pneumothorax", "probability"].reset_index(drop=True)
    )


def test_words_need_its_text_encoder(official_folder, films):
    with pytest.raises(SettingsError, match="no text encoder"):
        UniChest.from_pretrained(official_folder).predict(films[0], ["broken wire"])
