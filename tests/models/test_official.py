"""What a published checkpoint may hold, what is refused by name, and the model folder that comes of it."""

import argparse
import json
import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from pydantic import ValidationError
from torch import Tensor

from unichest_kedro.datasets.model_folder import ModelFolderDataset
from unichest_kedro.datasets.text_encoder import TextEncoderDataset
from unichest_kedro.errors import CheckpointError, SettingsError
from unichest_kedro.evaluation.scoring import score
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.models.official import (
    MIMIC_FINDINGS,
    PAPER_FINDINGS,
    OfficialCheckpoint,
    OfficialSettings,
    official_image_encoder,
    official_mixture,
)
from unichest_kedro.models.official_text import official_bert, official_text_encoder
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.pipelines.import_official import create_pipeline
from unichest_kedro.pipelines.import_official.nodes import import_model, import_text_encoder

from .conftest import without_experts

Checkpoint = dict[str, Any]
Make = Callable[..., dict[str, Tensor]]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "edema", "mass", "scar", "no", "of", "lung", "##s"]
FINDINGS = ("Mass", "edema")
VOCABULARY = {
    "findings": [{"name": "Mass", "prompt": "lung mass"}, {"name": "edema", "prompt": "edema"}],
    "sources": {},
}


def save(content: Any, folder: Path, **options: Any) -> Path:
    path = folder / "best_valid.pt"
    torch.save(content, path, **options)
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A folder with a word list of 12 tokens, beside a config of three attention heads."""
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    config = {"model_type": "bert", "hidden_size": 24, "num_attention_heads": 3, "layer_norm_eps": 1e-12}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_names_and_shapes_are_the_published_ones(real: Path, published_shapes: Mapping[str, Callable]) -> None:
    path = real.parent / "official_checkpoint_keys.json"
    if not path.is_file():
        pytest.skip(f"no {path.name} beside the real data")
    published = json.loads(path.read_text())
    for name, shapes in published_shapes.items():
        ours = {key: list(shape) for key, shape in shapes()}
        assert ours == published[name], name


def test_sizes_are_read_from_the_tensors(make_section: Make) -> None:
    mixture = official_mixture(make_section("model", width=24, layers=3, experts=12, feedforward=20, gate=7), heads=2)
    assert (len(mixture.main.layers), len(mixture.experts), mixture.gate_embedding.out_features) == (3, 12, 7)
    assert mixture.main.layers[0].linear1.weight.shape == (20, 24)
    assert not mixture.training


@pytest.mark.parametrize(
    ("sizes", "backbone", "options"),
    [
        ({}, "resnet50", {}),
        ({"blocks": (2, 2, 2, 2), "deep": False}, "resnet18", {}),
        ({"blocks": (3, 4, 6, 3), "deep": False}, "resnet34", {}),
        ({"groups": 32, "per_group": 4}, "resnext50_32x4d", {}),
        ({"blocks": (1, 2, 1, 1)}, "resnet50", {"layers": [1, 2, 1, 1], "cardinality": 1, "base_width": 64}),
        ({"blocks": (1, 1, 1, 1), "deep": False}, "resnet18", {"layers": [1, 1, 1, 1]}),
    ],
)
def test_backbone_is_recognised(make_section: Make, sizes: dict, backbone: str, options: dict) -> None:
    section = {name: value.to(torch.float16) for name, value in make_section("image_encoder", width=8, **sizes).items()}
    reading = OfficialCheckpoint(section).section("image_encoder")
    assert reading.sizes == {"backbone": backbone, "options": options, "width": 8}


def test_whole_file(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = save(small_checkpoint, tmp_path)
    model = UniChest.from_official(path, heads=3)
    assert (model.settings.width, model.settings.layers, model.settings.experts) == (24, 2, 2)
    assert model.settings.image_size == 64, "image_res of the checkpoint's config"
    assert model.ratios.tolist() == [0.5, 0.5]
    assert not model.training
    source = small_checkpoint["model"]
    assert torch.equal(model.mixture.norm.weight, source["decoder_norm.weight"])
    assert torch.equal(model.mixture.experts[1].head.bias, source["mlp_head_2.0.bias"])
    trunk = model.image_encoder.backbone
    assert torch.equal(trunk.bn1.running_var, small_checkpoint["image_encoder"]["res_features.1.running_var"])
    assert int(trunk.bn1.num_batches_tracked) == 7
    from_memory = UniChest.from_official(small_checkpoint, heads=3)
    assert model.fingerprint() == from_memory.fingerprint()


def test_experts_that_were_never_trained_are_left_out(small_checkpoint: Checkpoint) -> None:
    norms = [n for n in small_checkpoint["model"] if re.fullmatch(r"decoderV1_\d+\.layers\..*norm\d\.(weight|bias)", n)]
    for name in norms:
        small_checkpoint["model"][name] = torch.full((24,), float(name.endswith("weight")))
    assert UniChest.from_official(small_checkpoint, heads=3).ratios.tolist() == [1, 0]
    assert UniChest.from_official(small_checkpoint, heads=3, main_ratio=0.5, expert_ratio=0.5).ratios[1] == 0.5
    small_checkpoint["model"][norms[-1]][3] += 1e-6
    assert UniChest.from_official(small_checkpoint, heads=3).ratios.tolist() == [0.5, 0.5]


def test_reading_leaves_the_generator_alone(small_checkpoint: Checkpoint) -> None:
    before = torch.get_rng_state()
    UniChest.from_official(small_checkpoint, heads=3)
    official_bert(small_checkpoint, heads=3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kept", ["model", "image_encoder", "text_encoder"])
@pytest.mark.parametrize("form", ["file", "checkpoint", "section"])
def test_each_section_alone(small_checkpoint: Checkpoint, tmp_path: Path, kept: str, form: str) -> None:
    section = small_checkpoint[kept]
    alone = {"file": save({kept: section}, tmp_path), "checkpoint": {kept: section}, "section": section}
    load = {
        "model": lambda source: official_mixture(source, heads=3).main.head.bias,
        "image_encoder": lambda source: official_image_encoder(source).project[2].bias,
        "text_encoder": lambda source: official_bert(source, heads=3)[1][2].bias,
    }
    name = {"model": "mlp_head.0.bias", "image_encoder": "res_l2.bias", "text_encoder": "mlp_embed.2.bias"}
    assert torch.equal(load[kept](alone[form]), section[name[kept]])


def test_a_file_of_one_bare_section(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    mixture = official_mixture(save(small_checkpoint["model"], tmp_path), heads=3)
    assert torch.equal(mixture.gate.weight, small_checkpoint["model"]["gate_head.0.weight"])


def test_optimiser_and_schedule_are_left_out(small_checkpoint: Checkpoint) -> None:
    less = {name: small_checkpoint[name] for name in ("model", "image_encoder", "text_encoder", "config")}
    first, second = (UniChest.from_official(source, heads=3) for source in (small_checkpoint, less))
    assert first.fingerprint() == second.fingerprint()


def test_prefix_of_distributed_training(small_checkpoint: Checkpoint) -> None:
    prefixed = dict(small_checkpoint)
    for name in ("model", "image_encoder", "text_encoder"):
        prefixed[name] = {f"module.{key}": value for key, value in small_checkpoint[name].items()}
    OfficialCheckpoint(prefixed).sections()
    plain = UniChest.from_official(small_checkpoint, heads=3)
    assert UniChest.from_official(prefixed, heads=3).fingerprint() == plain.fingerprint()


def test_half_precision_and_old_formats(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    half = {name: value.half() for name, value in small_checkpoint["model"].items()}
    mixture = official_mixture(save({"model": half}, tmp_path, _use_new_zipfile_serialization=False), heads=3)
    assert mixture.gate.weight.dtype == torch.float32
    assert torch.equal(mixture.gate.weight, half["gate_head.0.weight"].float())


def test_what_is_ignored(small_checkpoint: Checkpoint) -> None:
    plain = UniChest.from_official(small_checkpoint, heads=3).fingerprint()
    model, images, texts = (small_checkpoint[name] for name in ("model", "image_encoder", "text_encoder"))
    for name in [n for n in model if n.startswith("decoder.")] + ["logit_scale"]:
        del model[name]
    for name in [n for n in images if n.startswith("resnet.")]:
        del images[name]
    texts["bert_model.embeddings.position_ids"] = torch.arange(16)[None]
    del texts["logit_scale"]
    assert UniChest.from_official(small_checkpoint, heads=3).fingerprint() == plain
    for name in [n for n in images if n.endswith("num_batches_tracked")]:
        del images[name]
    assert int(UniChest.from_official(small_checkpoint, heads=3).image_encoder.backbone.bn1.num_batches_tracked) == 0


def test_a_trunk_whose_copies_differ_is_told(small_checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture) -> None:
    images = small_checkpoint["image_encoder"]
    images["resnet.layer2.0.conv1.weight"] = images["resnet.layer2.0.conv1.weight"] + 1
    encoder = official_image_encoder(images)
    assert torch.equal(encoder.backbone.layer2[0].conv1.weight, images["res_features.5.0.conv1.weight"])
    assert "resnet.layer2.0.conv1.weight" in caplog.text


def test_every_problem_is_in_one_message(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    model, images, texts = (small_checkpoint[name] for name in ("model", "image_encoder", "text_encoder"))
    del model["decoderV1_2.layers.1.linear2.bias"]
    model["decoderV1.layers.0.norm1.weight"] = torch.ones(23)
    model["gate_head.0.weight"] = torch.ones(3, 24)
    model["decoderV1_1.norm.bias"] = model["decoderV1_1.norm.bias"] + 1
    model["extra_head.weight"] = torch.ones(1)
    model["mlp_head.0.bias"] = [0.0]
    del images["res_features.5.0.bn1.running_mean"]
    images["res_features.4.0.se.weight"] = torch.ones(1)
    images["res_l1.bias"] = torch.ones(512, dtype=torch.int64)
    del texts["bert_model.pooler.dense.bias"]
    del texts["mlp_embed.2.weight"]
    path = save(small_checkpoint, tmp_path)
    with pytest.raises(CheckpointError) as caught:
        UniChest.from_official(path, heads=3)
    for problem in (
        f"{path}: not a checkpoint of the published code",
        "model: missing decoderV1_2.layers.1.linear2.bias",
        "model: decoderV1.layers.0.norm1.weight has shape [23], not [24]",
        "model: gate_head.0.weight has shape [3, 24], not [2, 24]",
        "model: decoderV1_1.norm.bias differs from decoder_norm.bias, but they are one LayerNorm",
        "model: extra_head.weight has no place in the published network",
        "model: mlp_head.0.bias is a list, not a tensor",
        "image_encoder: missing res_features.5.0.bn1.running_mean",
        "image_encoder: res_features.4.0.se.weight has no place in the published network",
        "image_encoder: res_l1.bias is of torch.int64, not of floating point",
        "text_encoder: missing bert_model.pooler.dense.bias",
        "text_encoder: missing mlp_embed.2.weight",
    ):
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("section", "removed", "message"),
    [
        ("model", "decoderV1_", "no tensor is named decoderV1_*.*"),
        ("model", "decoderV1_1", "decoderV1_*.* is numbered 2, not from 1 on without a gap"),
        ("model", "decoder_norm", "missing decoder_norm.weight"),
        ("model", "decoderV1.norm", "missing decoderV1.norm.weight"),
        ("image_encoder", "res_features.7", "no tensor is named res_features.7.*.*"),
        ("text_encoder", "bert_model.encoder", "no tensor is named bert_model.encoder.layer.*.output.LayerNorm.weight"),
    ],
)
def test_parts_that_are_not_there(small_checkpoint: Checkpoint, section: str, removed: str, message: str) -> None:
    small_checkpoint[section] = {k: v for k, v in small_checkpoint[section].items() if not k.startswith(removed)}
    with pytest.raises(CheckpointError) as caught:
        OfficialCheckpoint(small_checkpoint).sections()
    assert f"{section}: " in str(caught.value)
    assert message in str(caught.value)


def test_missing_sections_are_named(small_checkpoint: Checkpoint) -> None:
    del small_checkpoint["image_encoder"], small_checkpoint["text_encoder"]
    with pytest.raises(CheckpointError, match=r"image_encoder: the section is missing \(there is model, optimizer"):
        UniChest.from_official(small_checkpoint, heads=3)
    with pytest.raises(CheckpointError, match="text_encoder: the section is missing"):
        official_bert(small_checkpoint)


def test_a_bare_section_is_no_checkpoint(small_checkpoint: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match=r"model: the section is missing \(there is logit_scale, .* more\)"):
        UniChest.from_official(small_checkpoint["model"])


def test_sections_of_different_width(small_checkpoint: Checkpoint, make_section: Make) -> None:
    small_checkpoint["image_encoder"] = make_section("image_encoder", width=16, blocks=(1, 1, 1, 1), deep=False)
    with pytest.raises(CheckpointError, match=r"differ in width \(model 24, image_encoder 16, text_encoder 24\)"):
        UniChest.from_official(small_checkpoint, heads=3)


def test_heads_that_do_not_fit(small_checkpoint: Checkpoint) -> None:
    with pytest.raises(SettingsError, match="heads: width 24 is not divisible by 5 heads"):
        UniChest.from_official(small_checkpoint, heads=5)
    with pytest.raises(SettingsError, match="text_heads: the text encoder's width 24 is not divisible"):
        official_bert(small_checkpoint)


@pytest.mark.parametrize(
    ("config", "lam", "size"),
    [
        ({"lam": [0.3, 0.9], "image_res": 224}, (0.3, 0.9), 224),
        (argparse.Namespace(lam=(1, 0), image_res=128), (1.0, 0.0), 128),
        ({}, (1.0, 0.4), 512),
        (None, (1.0, 0.4), 512),
    ],
)
def test_what_the_config_says(
    small_checkpoint: Checkpoint, tmp_path: Path, config: Any, lam: tuple[float, float], size: int
) -> None:
    small_checkpoint["config"] = config
    settings = UniChest.from_official(save(small_checkpoint, tmp_path), heads=3).settings
    assert (settings.lam_fine, settings.lam_global, settings.image_size) == (*lam, size)
    layer = official_mixture(small_checkpoint, heads=3).experts[0].layers[1]
    assert (layer.lam_fine, layer.lam_global) == lam
    chosen = UniChest.from_official(small_checkpoint, heads=3, lam=(0.5, 0.6), image_size=96).settings
    assert (chosen.lam_fine, chosen.lam_global, chosen.image_size) == (0.5, 0.6, 96)


def test_a_broken_lam_is_named(small_checkpoint: Checkpoint) -> None:
    small_checkpoint["config"] = {"lam": "1, 0.4"}
    with pytest.raises(CheckpointError, match=r"lam is '1, 0\.4', not two numbers"):
        UniChest.from_official(small_checkpoint, heads=3)


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.system, (f"touch '{self.mark}'",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["torch", "old torch", "pickle", "old pickle"])
def test_code_in_the_file_is_refused(small_checkpoint: Checkpoint, tmp_path: Path, form: str) -> None:
    mark = tmp_path / "executed"
    content = small_checkpoint | {"config": Malicious(mark)}
    path = tmp_path / "best_valid.pt"
    if form.endswith("torch"):
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    else:
        path.write_bytes(pickle.dumps(content["config"], protocol=4 if form == "pickle" else 2))
    with pytest.raises(CheckpointError) as caught:
        UniChest.from_official(path)
    assert not mark.exists()
    words = "nothing in it was executed" if form == "pickle" else "refused.*posix.system.*would execute code"
    assert re.search(rf"best_valid\.pt: .*{words}", str(caught.value))
    assert "weights_only" not in str(caught.value)


def test_more_than_plain_values_is_named(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = save(small_checkpoint | {"val_auc": np.float64(0.8), "where": Path("x")}, tmp_path)
    with pytest.raises(CheckpointError, match=r"numpy.*scalar.*save the sections model, image_encoder, text_encoder"):
        UniChest.from_official(path)


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such file"):
        UniChest.from_official(tmp_path / "nowhere.pt")
    with pytest.raises(CheckpointError, match="there is no such file"):
        UniChest.from_official(tmp_path)
    path = tmp_path / "best_valid.pt"
    for content in (b"", b"hello", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"not a file that torch\.save wrote, or not a whole one"):
            UniChest.from_official(path)
    with pytest.raises(CheckpointError, match="holds a list"):
        UniChest.from_official(save([1, 2], tmp_path))


def test_a_cut_off_file(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = save(small_checkpoint, tmp_path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(CheckpointError, match="not a whole one"):
        UniChest.from_official(path)


def test_text_encoder_with_its_tokenizer(small_checkpoint: Checkpoint, tokenizer: Path, tmp_path: Path) -> None:
    encoder = official_text_encoder(small_checkpoint, tokenizer)
    assert encoder.width == 24
    assert encoder.model.config.num_attention_heads == 3
    texts = ["Edema of LUNGS", "mass"]
    bert, projection = official_bert(small_checkpoint, heads=3)
    tokens = torch.tensor([[2, 5, 9, 10, 11, 3], [2, 6, 3, 0, 0, 0]])
    pooled = bert(input_ids=tokens, attention_mask=(tokens != 0).long()).pooler_output
    expected = projection(pooled).detach().numpy()
    np.testing.assert_allclose(encoder.encode(texts, progress=False), expected, atol=1e-5)
    encoder.save_pretrained(tmp_path / "saved")
    again = type(encoder).from_pretrained(tmp_path / "saved")
    np.testing.assert_allclose(again.encode(texts, progress=False), expected, atol=1e-5)


def test_tokenizers_that_do_not_fit(
    small_checkpoint: Checkpoint, tokenizer: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tokenizer / "vocab.txt").write_text("\n".join([*WORDS, *(f"word{i}" for i in range(30))]))
    with pytest.raises(SettingsError, match="has 42 tokens, the checkpoint's text encoder knows 30"):
        official_text_encoder(small_checkpoint, tokenizer)
    with pytest.raises(SettingsError, match="cannot be loaded: the folder holds none"):
        official_text_encoder(small_checkpoint, tmp_path)
    with pytest.raises(SettingsError, match=r"neither a folder nor in the local cache.*UMLSBert.*allow_download"):
        official_text_encoder(small_checkpoint, "someone/no-such-tokenizer")
    (tokenizer / "vocab.txt").write_text("\n".join(WORDS))
    official_text_encoder(small_checkpoint, tokenizer)
    assert "has 12 tokens, the text encoder knows 30" in caplog.text


def run(root: Path, **settings: Any) -> DataCatalog:
    """The pipeline with the shipped datasets, in a folder of its own."""
    text_encoder = root / "official_text_encoder"
    catalog = DataCatalog(
        {
            "params:official": MemoryDataset(OfficialSettings(**settings), copy_mode="assign"),
            "vocabulary": MemoryDataset(VOCABULARY),
            "official_text_encoder": TextEncoderDataset(filepath=str(text_encoder)),
            "official_model": ModelFolderDataset(
                filepath=str(root / "official"), text_encoder={"filepath": str(text_encoder)}
            ),
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog


def test_pipeline_writes_a_model_folder(small_checkpoint: Checkpoint, tokenizer: Path, tmp_path: Path) -> None:
    run(tmp_path, checkpoint=save(small_checkpoint, tmp_path), tokenizer=str(tokenizer), heads=3)
    folder = tmp_path / "official"
    model = UniChest.from_pretrained(folder)
    assert model.findings == FINDINGS
    encoder = official_text_encoder(small_checkpoint, tokenizer)
    expected = encoder.encode(["lung mass", "edema"], progress=False)
    np.testing.assert_allclose(model.finding_embeddings, expected, atol=1e-6)
    direct = UniChest.from_official(small_checkpoint, FINDINGS, expected, heads=3)
    images = torch.randint(0, 256, (2, 1, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    answers = model.predict_probabilities(images, ["edema", "Mass"])
    torch.testing.assert_close(answers, direct.predict_probabilities(images, ["edema", "Mass"]))
    assert (folder / "text_encoder" / "projection.safetensors").is_file()
    assert yaml.safe_load((folder / "vocabulary.yml").read_text())["findings"][0]["name"] == "Mass"
    assert model.facts["trained_on"] == ["mimic_cxr", "chestxray14", "chexpert", "vindr_cxr"]
    assert "best_valid.pt, a checkpoint of the published code" in (folder / "README.md").read_text()


def test_findings_are_asked_in_the_words_of_the_training(
    small_checkpoint: Checkpoint, tokenizer: Path, tmp_path: Path
) -> None:
    vocabulary = {
        "findings": [{"name": name, "prompt": f"{name} of lung"} for name in ("mass", "fibrosis", "rds")],
        "sources": {},
    }
    where = {"tokenizer": str(tokenizer), "heads": 3}
    settings = OfficialSettings(checkpoint=save(small_checkpoint, tmp_path), **where)
    encoder = import_text_encoder(settings)

    def check(settings: OfficialSettings, asked: list[str]) -> None:
        model = import_model(encoder, vocabulary, settings)
        words = [name if name in asked else f"{name} of lung" for name in model.findings]
        np.testing.assert_allclose(model.finding_embeddings, encoder.encode(words, progress=False), atol=1e-6)
        assert model.facts["findings_asked"] == asked

    check(settings, ["mass", "fibrosis"])
    check(settings.model_copy(update={"findings_asked": ("rds",)}), ["rds"])
    small_checkpoint["model"] = without_experts(small_checkpoint["model"])
    check(OfficialSettings(checkpoint=save(small_checkpoint, tmp_path), **where), ["mass"])
    with pytest.raises(SettingsError, match=r"official\.findings_asked: the vocabulary has no finding 'coin'"):
        import_model(encoder, vocabulary, settings.model_copy(update={"findings_asked": ("coin", "mass")}))


@pytest.mark.parametrize(
    ("ratios", "message"),
    [({"main_ratio": 1}, "or neither"), ({"main_ratio": 1, "expert_ratio": 0.5}, "main_ratio 1 and expert_ratio 0.5")],
)
def test_ratios_that_are_no_mixture(ratios: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        OfficialSettings(**ratios)


def test_the_papers_findings_are_those_of_the_shipped_vocabulary(project: Path) -> None:
    shipped = yaml.safe_load((project / "conf/base/vocabulary.yml").read_text())
    assert tuple(finding["name"] for finding in shipped["findings"]) == PAPER_FINDINGS
    assert len(MIMIC_FINDINGS) == 41


def test_evaluation_takes_the_model(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = UniChest.from_official(small_checkpoint, FINDINGS, np.ones((2, 24)), heads=3)
    model.save_pretrained(tmp_path / "model")
    model = UniChest.from_pretrained(tmp_path / "model")
    films = [np.full((70, 64), 40 * i, dtype=np.uint8) for i in range(3)]
    examples = pd.DataFrame(
        {
            "source": "a",
            "split": "test",
            "image_id": list("xyz"),
            "patient_id": list("xyz"),
            "image_row": range(3),
            "label_row": range(3),
            "text_row": -1,
        }
    )
    labels = {"a": pd.DataFrame({name: np.array([0, 1, -1], dtype=np.int8) for name in FINDINGS})}
    columns = ("source", "image_id", "split", "seen_in", "reason")
    no_leaks = pd.DataFrame({name: pd.Series(dtype="str") for name in columns})
    scores, gates = score(
        model,
        "official",
        examples,
        {"a": films},
        labels,
        {"a": FINDINGS},
        trained_on=("a",),
        leaked_films=no_leaks,
        image_size=64,
        batch_size=2,
        resize=resize_square,
    )
    assert len(scores) == 6
    assert len(gates) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"official.checkpoint is not set: give .*--params=official.checkpoint=/path/best_valid.pt\.$"),
        ({"checkpoint": "nowhere.pt", "tokenizer": "x"}, "nowhere.pt: there is no such file"),
    ],
)
def test_pipeline_without_a_checkpoint(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises((SettingsError, CheckpointError), match=message):
        run(tmp_path, **settings)


def test_pipeline_without_a_tokenizer(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = save(small_checkpoint, tmp_path)
    with pytest.raises(SettingsError, match=r"official\.tokenizer is not set: the checkpoint holds no tokenizer"):
        run(tmp_path, checkpoint=path)
    del small_checkpoint["model"]["gate_head.0.bias"]
    with pytest.raises(CheckpointError, match="missing gate_head"):
        run(tmp_path, checkpoint=save(small_checkpoint, tmp_path))


def test_shipped_parameters_are_the_defaults(project: Path) -> None:
    shipped = yaml.safe_load((project / "conf/base/parameters_official.yml").read_text())["official"]
    assert OfficialSettings.model_validate(shipped) == OfficialSettings()
