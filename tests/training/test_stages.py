"""Mechanics of Conquer and Divide: what moves, what does not, what is resumed."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from unichest_kedro.errors import SettingsError, TrainingError
from unichest_kedro.models.losses import asymmetric_loss, contrastive_loss, source_contrastive_loss
from unichest_kedro.models.unichest import UniChest, UniChestOutput
from unichest_kedro.training import loop, setup
from unichest_kedro.training.data import EvaluationExamples, TrainingData, collate
from unichest_kedro.training.settings import ConquerSettings, DivideSettings
from unichest_kedro.training.stages import conquer_stage, continue_conquer, divide_stage, train_conquer, train_divide

Make = Callable[..., Any]
ENCODER = "image_encoder."
MAIN = ("mixture.main.", "mixture.norm.")
EXPERTS = tuple(f"mixture.experts.{k}." for k in range(3))
GATE = ("mixture.gate.", "mixture.gate_embedding.")


def moved(before: UniChest, after: UniChest) -> set[str]:
    old, new = before.state_dict(), after.state_dict()
    return {name for name in old if not torch.equal(old[name], new[name])}


def parameters_under(model: UniChest, *prefixes: str) -> set[str]:
    return {name for name, _ in model.named_parameters() if name.startswith(prefixes)}


def test_conquer_moves_encoder_and_main_only(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    before = model.fingerprint()
    result = train_conquer(model, data, conquer_settings(), tmp_path / "state")
    assert model.fingerprint() == before, "the caller's model is left as it was"
    changed = moved(model, result.model)
    assert parameters_under(model, ENCODER, *MAIN, "logit_scale") <= changed
    assert not [name for name in changed if name.startswith((*EXPERTS, *GATE, "finding_embeddings"))]
    assert any("running_mean" in name for name in changed), "batch norm learns in Conquer"
    assert result.model.ratios.tolist() == [1, 0]


@pytest.mark.parametrize("experts_from", ["random", "main"])
def test_divide_leaves_the_encoder_bit_identical(
    model: UniChest, data: TrainingData, divide_settings: Make, tmp_path: Path, experts_from: str
) -> None:
    result = train_divide(model, data, divide_settings(experts_from=experts_from), tmp_path / "state")
    changed = moved(model, result.model)
    assert not [name for name in changed if name.startswith(ENCODER)], "weights and batch-norm statistics stay"
    assert "logit_scale" not in changed
    assert parameters_under(model, *MAIN, *EXPERTS, *GATE) <= changed
    assert result.model.ratios.tolist() == [0.5, 0.5]
    assert 0 < result.history["gate_entropy"].iloc[0] <= math.log2(3)


def gradients(model: UniChest, data: TrainingData, stage: setup.Stage) -> set[str]:
    setup.choose_parameters(model, stage)
    examples = EvaluationExamples(data, data.rows("train")[::5], 64)
    batch = collate([examples[i] for i in range(len(examples))])
    has_text = batch.text_ids >= 0
    output = model(
        batch.images,
        model.queries_for(data.asked),
        stage.main_ratio,
        stage.expert_ratio,
        texts=batch.text[has_text],
    )
    labels = batch.labels[:, data.columns(data.asked)]
    terms = stage.loss_terms(output, batch, labels)
    torch.stack(list(terms.values())).sum().backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    # The backbone starts its residual branches at zero, so only some of its gradients are not zero at first.
    assert all(model.get_parameter(name).grad.any() for name in reached if not name.startswith(f"{ENCODER}backbone"))
    first = model.image_encoder.backbone.conv1[0].weight.grad
    assert first is None or first.any()
    return reached


def test_gradients_of_conquer(model: UniChest, data: TrainingData, conquer_settings: Make) -> None:
    reached = gradients(model, data, conquer_stage("conquer", conquer_settings()))
    assert reached == parameters_under(model, ENCODER, *MAIN, "logit_scale")
    assert all(p.grad is None for n, p in model.named_parameters() if n.startswith((*EXPERTS, *GATE)))


def test_gradients_of_divide(model: UniChest, data: TrainingData, divide_settings: Make) -> None:
    reached = gradients(model, data, divide_stage(divide_settings()))
    assert reached == parameters_under(model, *MAIN, *EXPERTS, *GATE)
    assert all(p.grad is None for n, p in model.named_parameters() if n.startswith(ENCODER))


def test_terms_are_the_losses_as_written(
    model: UniChest, data: TrainingData, conquer_settings: Make, divide_settings: Make
) -> None:
    examples = EvaluationExamples(data, data.rows("train")[::5], 64)
    batch = collate([examples[i] for i in range(len(examples))])
    has = batch.text_ids >= 0
    assert 0 < has.sum() < len(has)
    labels = batch.labels[:, data.columns(data.asked)]
    queries = model.queries_for(data.asked)
    model.eval()
    stage = conquer_stage("conquer", conquer_settings(contrastive_weight=2.0))
    output = model(batch.images, queries, 1, 0, texts=batch.text[has])
    terms = stage.loss_terms(output, batch, labels)
    text_output = model.mixture(batch.text[has][:, None], queries, main_ratio=1, expert_ratio=0)
    close(terms["image"], asymmetric_loss(output.image.probabilities, labels))
    close(terms["text"], asymmetric_loss(text_output.probabilities, labels[has]))
    close(
        terms["contrastive"],
        2 * contrastive_loss(output.pooled[has], batch.text[has], model.logit_scale, batch.text_ids[has]),
    )
    output = model(batch.images, queries, 0.5, 0.5, texts=batch.text[has])
    terms = divide_stage(divide_settings(source_contrastive_weight=3.0)).loss_terms(output, batch, labels)
    assert set(terms) == {"image", "text", "source_image", "source_text"}
    close(terms["source_image"], 3 * source_contrastive_loss(output.image.gate_embedding, batch.sources))
    close(terms["source_text"], 3 * source_contrastive_loss(output.text.gate_embedding, batch.sources[has]))


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected)


def test_same_seed_same_weights(model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = train_conquer(model, data, conquer_settings(), tmp_path / "one").model.fingerprint()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = train_conquer(model, data, conquer_settings(num_workers=1), tmp_path / "two").model.fingerprint()
    assert torch.equal(torch.get_rng_state(), state), "torch's global generator is left alone"
    third = train_conquer(model, data, conquer_settings(seed=43), tmp_path / "three").model.fingerprint()
    assert first == second
    assert first != third


class KilledError(Exception):
    """Stands for the process being killed."""


def kill_after(epoch: int) -> Callable[[dict[str, Any]], None]:
    def callback(row: dict[str, Any]) -> None:
        if row["epoch"] == epoch:
            raise KilledError

    return callback


@pytest.mark.parametrize("train", [train_conquer, train_divide])
def test_a_killed_run_continues_to_the_same_weights(
    model: UniChest,
    data: TrainingData,
    conquer_settings: Make,
    divide_settings: Make,
    tmp_path: Path,
    train: Make,
) -> None:
    make = conquer_settings if train is train_conquer else divide_settings
    settings = make(epochs=3, augmentation={}, accumulation=2)
    last_weights: dict[str, bytes] = {}

    def note_last(folder: Path) -> Callable[[dict[str, Any]], None]:
        def note(row: dict[str, Any]) -> None:
            weights = folder / f"step-{row['step']:08d}" / "model.safetensors"
            last_weights[folder.name] = weights.read_bytes()

        return note

    whole = train(model, data, settings, tmp_path / "whole", on_epoch_end=note_last(tmp_path / "whole"))
    folder = tmp_path / "killed"
    with pytest.raises(KilledError):
        train(model, data, settings, folder, on_epoch_end=kill_after(2))
    assert sorted(path.name for path in folder.glob("step*")) == ["step-00000003", "step-00000006"]
    resumed = train(model, data, settings, folder, on_epoch_end=note_last(folder))
    assert last_weights["killed"] == last_weights["whole"], "weights after the last epoch"
    assert resumed.model.fingerprint() == whole.model.fingerprint(), "weights of the best epoch"
    columns = [name for name in whole.history if name not in ("images_per_second", "seconds")]
    pd.testing.assert_frame_equal(resumed.history[columns], whole.history[columns])


def test_a_finished_stage_is_not_trained_again_unless_something_changed(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    trained: list[int] = []
    count = lambda row: trained.append(row["epoch"])  # noqa: E731
    first = train_conquer(model, data, conquer_settings(epochs=2), tmp_path, on_epoch_end=count)
    again = train_conquer(model, data, conquer_settings(epochs=2), tmp_path, on_epoch_end=count)
    assert trained == [1, 2]
    assert again.model.fingerprint() == first.model.fingerprint()
    pd.testing.assert_frame_equal(again.history, first.history)
    train_conquer(model, data, conquer_settings(epochs=2, batch_size=6), tmp_path, on_epoch_end=count)
    assert trained == [1, 2, 1, 2]


def test_films_are_never_enlarged(model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path) -> None:
    class SmallStore(list):
        image_size = model.settings.image_size - 1

    small = replace(data, stores={source: SmallStore(store) for source, store in data.stores.items()})
    with pytest.raises(SettingsError, match=r"would only be enlarged; set imaging\.image_size"):
        train_conquer(model, small, conquer_settings(), tmp_path)


def test_state_of_other_settings_is_refused(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        train_conquer(model, data, conquer_settings(), tmp_path, on_epoch_end=kill_after(1))
    with pytest.raises(TrainingError, match=r"batch_size was 8, is 6.*delete this folder, or set `restart: true`"):
        train_conquer(model, data, conquer_settings(batch_size=6), tmp_path)
    labels = {source: np.where(values >= 0, 1 - values, values) for source, values in data.labels.items()}
    with pytest.raises(TrainingError, match=r"data\.labels differ"):
        train_conquer(model, replace(data, labels=labels), conquer_settings(), tmp_path)
    result = train_conquer(model, data, conquer_settings(batch_size=6, restart=True), tmp_path)
    assert result.epochs == 2


def test_half_written_state_is_not_taken_for_whole(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    whole = train_conquer(model, data, conquer_settings(), tmp_path / "whole")
    folder = tmp_path / "killed"
    with pytest.raises(KilledError):
        train_conquer(model, data, conquer_settings(), folder, on_epoch_end=kill_after(1))
    partial = folder / "step-00000012.partial"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    (folder / "best-0002.safetensors.partial").write_bytes(b"half")
    resumed = train_conquer(model, data, conquer_settings(), folder)
    assert resumed.model.fingerprint() == whole.model.fingerprint()


def test_best_epoch_is_kept(
    model: UniChest,
    data: TrainingData,
    conquer_settings: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights: list[str] = []

    def scores(bare: UniChest, *_: object) -> dict[str, float]:
        weights.append(bare.fingerprint())
        return {"a": [0.5, 0.8, 0.7, 0.75, 0.79, 0.9][len(weights) - 1]}

    monkeypatch.setattr(loop, "validation_aurocs", scores)
    settings = conquer_settings(epochs=6, plateau={"patience": 3, "min_delta": 0.01})
    result = train_conquer(model, data, settings, tmp_path / "state")
    assert (result.stopped, result.epochs, result.best_epoch, result.best_auroc) == ("plateau", 5, 2, 0.8)
    result.model.ratios.copy_(model.ratios)
    assert result.model.fingerprint() == weights[1]


def test_without_any_auroc_the_last_epoch_is_kept(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    examples = data.examples[data.examples["split"] == "train"].reset_index(drop=True)
    result = train_conquer(model, replace(data, examples=examples), conquer_settings(), tmp_path / "state")
    assert result.best_epoch == 2
    assert math.isnan(result.best_auroc)


def test_continued_conquer_takes_divides_steps(
    model: UniChest, data: TrainingData, conquer_settings: Make, divide_settings: Make, tmp_path: Path
) -> None:
    conquer = conquer_settings(epochs=7, plateau={"patience": 1})
    divide = divide_settings(epochs=3, batch_size=6, optimiser={"learning_rate": 2e-4})
    divided = train_divide(model, data, divide, tmp_path / "divide")
    continued = continue_conquer(model, data, conquer, divide, tmp_path / "continue")
    assert continued.steps == divided.steps == 3 * (48 // 6)
    assert continued.history["learning_rate"].tolist() == divided.history["learning_rate"].tolist()
    assert parameters_under(model, ENCODER) <= moved(model, continued.model)
    shorter = continue_conquer(model, data, conquer, divide, tmp_path / "continue", epochs=2)
    assert shorter.epochs == 2
    assert shorter.history["learning_rate"].tolist() == divided.history["learning_rate"].tolist()[:2]


def test_non_finite_loss_names_step_and_images(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    def poison(row: dict[str, Any]) -> None:
        data.text_embeddings[:] = np.nan

    with pytest.raises(TrainingError, match=r"loss is nan at step 7 .*images of the batch: [ab]/[ab]\d+") as error:
        train_conquer(model, data, conquer_settings(), tmp_path / "state", on_epoch_end=poison)
    assert str(tmp_path / "state" / "step-00000006") in str(error.value)


def test_non_finite_gradient_is_an_error_too(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    model.mixture.main.head.weight.register_hook(lambda gradient: gradient * math.inf)
    stage = conquer_stage("conquer", conquer_settings())
    with pytest.raises(TrainingError, match=r"gradient norm is (nan|inf) at step 1 .*last good checkpoint: none"):
        loop.run_stage(model, data, stage, tmp_path / "state")


def test_history(model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path) -> None:
    history = train_conquer(model, data, conquer_settings(), tmp_path / "state").history
    assert history["epoch"].tolist() == [1, 2]
    assert history["step"].tolist() == [6, 12]
    parts = history[["loss_image", "loss_text", "loss_contrastive"]].sum(axis=1)
    np.testing.assert_allclose(history["loss"], parts, rtol=1e-5)
    assert history[["loss_source_image", "loss_source_text", "gate_entropy"]].isna().all(axis=None)
    np.testing.assert_allclose(history["val_auroc"], history[["val_auroc_a", "val_auroc_b"]].mean(axis=1))
    assert (history[["gradient_norm", "images_per_second"]] > 0).all(axis=None)
    json.dumps(history.to_dict("records"))


def test_accumulation_counts_optimiser_steps(
    model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path
) -> None:
    result = train_conquer(model, data, conquer_settings(accumulation=4), tmp_path / "state")
    assert result.steps == 2 * 2  # six batches: one step of four, one of two


@pytest.mark.parametrize(("has_units", "expected"), [(True, "bf16"), (False, "no")])
def test_automatic_precision_is_bf16_only_where_the_device_has_units_for_it(
    conquer_settings: Make, monkeypatch: pytest.MonkeyPatch, has_units: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has_units})
    settings = conquer_settings(precision="auto", device="cpu")
    assert setup.make_accelerator(settings, None).mixed_precision == expected


def test_bf16_without_units_for_it_is_warned_of(
    model: UniChest,
    data: TrainingData,
    conquer_settings: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with caplog.at_level("WARNING", logger="unichest_kedro"):
        setup.check_fits(model, data, conquer_stage("conquer", conquer_settings(precision="bf16")))
    assert "no units for bf16" in caplog.text


def test_no_graph_is_built_for_a_frozen_encoder(
    model: UniChest, data: TrainingData, divide_settings: Make, tmp_path: Path
) -> None:
    stage, seen = divide_stage(divide_settings(epochs=1)), []

    def terms(output: UniChestOutput, *others: Any) -> dict[str, Tensor]:
        seen.append((output.pooled.requires_grad, output.image.probabilities.requires_grad))
        return stage.loss_terms(output, *others)

    loop.run_stage(model, data, replace(stage, loss_terms=terms), tmp_path / "state")
    assert set(seen) == {(False, True)}


def test_bf16_and_trackers(model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path) -> None:
    settings = conquer_settings(precision="bf16", trackers=("tensorboard",), epochs=1)
    result = train_conquer(model, data, settings, tmp_path / "state", tmp_path / "logs")
    assert list((tmp_path / "logs").rglob("events.out.tfevents*"))
    assert result.model.mixture.main.head.weight.dtype == torch.float32
    result.model.predict_probabilities(torch.zeros(1, 1, 32, 32, dtype=torch.uint8), ["top"])
    train_conquer(model, data, conquer_settings(epochs=1), tmp_path / "state")  # another precision, same process


def test_settings_that_cannot_work(model: UniChest, data: TrainingData, conquer_settings: Make, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="precision: 'fp16' needs a CUDA device"):
        train_conquer(model, data, conquer_settings(precision="fp16"), tmp_path)
    other = replace(data, text_embeddings=np.zeros((8, 5), dtype=np.float32))
    with pytest.raises(SettingsError, match="width: the model's is 16, the text embeddings have 5"):
        train_conquer(model, other, conquer_settings(), tmp_path)


def test_conquer_learns(
    model: UniChest, make_toy: Callable[..., TrainingData], conquer_settings: Make, tmp_path: Path
) -> None:
    settings: ConquerSettings = conquer_settings(epochs=8, optimiser={"learning_rate": 4e-3})
    result = train_conquer(model, make_toy(80, 60), settings, tmp_path / "state")
    assert result.best_auroc > 0.8


def test_weight_decay_spares_biases_and_vectors(model: UniChest, divide_settings: Make) -> None:
    settings: DivideSettings = divide_settings()
    optimiser = setup.make_optimiser(list(model.parameters()), settings.optimiser)
    decayed, spared = optimiser.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.02, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert all(p.ndim > 1 and not names[id(p)].endswith("bias") for p in decayed["params"])
    assert "logit_scale" in {names[id(p)] for p in spared["params"]}


def test_gate_entropy() -> None:
    gates = torch.tensor([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]])
    assert float(loop.gate_entropy(gates)) == pytest.approx((0 + 2 + 1) / 3)
