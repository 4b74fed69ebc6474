"""`kedro run --pipeline=predict` and `export` from the command line, with a model folder and no training at all."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from unichest_kedro.models.unichest import ModelSettings, build_unichest
from unichest_kedro.phantoms import PhantomSettings, make_phantoms

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def project_with_films(clone, tmp_path_factory):
    """A fresh clone; beside it a model folder and a folder of phantom films with one broken file."""
    place = tmp_path_factory.mktemp("predict")
    settings = ModelSettings(backbone="test_resnet", image_size=32, width=16, layers=1, heads=2, feedforward=8)
    model = build_unichest(settings, ("mass", "edema"), torch.randn(2, 16), 1, "", {"findings_asked": ["mass"]})
    model.save_pretrained(place / "model")
    films = make_phantoms("chestxray14", place / "phantoms", PhantomSettings(images_per_source=24, image_size=64))
    broken = next(films.rglob("*.png")).with_name("broken.png")
    Image.fromarray(np.zeros((70, 70), np.uint8)).save(broken)
    broken.write_bytes(broken.read_bytes()[:60])
    return clone(place / "project"), place / "model", films


def test_films_are_answered_without_any_source_or_training(project_with_films, kedro):
    root, model, films = project_with_films
    result = kedro(root, "run", "--pipeline=predict", f"--params=predict.images={films},predict.model={model}")
    assert result.returncode == 0, result.stdout[-3000:]
    assert "broken.png: " in result.stdout
    table = pd.read_parquet(root / "data/07_model_output/predictions.parquet")
    count = len(list(films.rglob("*.png")))
    assert len(table) == count
    assert set(table["finding"]) == {"mass"}
    again = kedro(
        root,
        "run",
        "--pipeline=predict",
        f"--params=predict.images={films},predict.model={model},predict.findings=mass;edema,predict.heatmaps=true",
    )
    assert again.returncode == 0, again.stdout[-3000:]
    assert "Not asked in training: edema" in again.stdout
    assert len(pd.read_csv(root / "data/07_model_output/predictions.csv")) == 2 * count
    assert (root / "data/08_reporting/predictions/contact_sheet.html").is_file()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("predict.images=/nowhere", ["predict.images", "/nowhere"]),
        ("predict.precision=half", ["predict", "precision", "half"]),
        ("predict.images=.", ["kedro run --pipeline=pretrain", "predict.model"]),
    ],
)
def test_a_users_mistake_is_one_message(project_with_films, kedro, params, words):
    root, _, films = project_with_films
    result = kedro(root, "run", "--pipeline=predict", f"--params={params.replace('=.', f'={films}')}")
    assert result.returncode == 1
    assert all(word in result.stdout for word in words)
    assert "Traceback" not in result.stdout


def test_a_model_folder_becomes_an_onnx_file(project_with_films, kedro):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="the extra [export] is not installed")
    root, model, _ = project_with_films
    result = kedro(root, "run", "--pipeline=export", f"--params=export.model={model}")
    assert result.returncode == 0, result.stdout[-3000:]
    assert (root / "data/06_models/onnx/model.onnx").stat().st_size > 10_000
    assert (root / "data/06_models/onnx/findings.json").is_file()
