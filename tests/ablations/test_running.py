"""Training every variant: nothing is done twice, what changed is done anew, and each is asked as it should be."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from unichest_kedro.ablations.asking import AskedAbout
from unichest_kedro.ablations.plan import plan
from unichest_kedro.ablations.running import OUTCOME, read_results, rebuilt, run_parts
from unichest_kedro.ablations.settings import AblationSettings
from unichest_kedro.models.unichest import build_unichest
from unichest_kedro.schemas import AblationRuns, Gates, Scores

MAIN_ONLY = {"divide": {"main_ratio": 1.0, "expert_ratio": 0.0}}
VARIANTS = [
    {"name": "conquer", "title": "Conquer", "stage": "conquer"},
    {"name": "alone", "title": "Alone", "stage": "conquer", "each_source": True},
    {"name": "continued", "title": "Continued", "stage": "continue", "start": "conquer"},
    {"name": "main_only", "title": "Main", "stage": "divide", "start": "conquer", "change": MAIN_ONLY},
    {"name": "divide", "title": "Divide", "stage": "divide", "start": "conquer"},
    {"name": "oracle", "title": "O", "stage": "divide", "start": "conquer", "change": {"divide": {"gate": "oracle"}}},
    {"name": "k1", "title": "K = 1", "stage": "divide", "start": "conquer", "change": {"model": {"experts": 1}}},
    {"name": "prompts", "title": "Prompts", "stage": "divide", "start": "conquer", "source_prompts": True},
    {"name": "ratio_1", "title": "Main of it", "stage": "score", "start": "divide", "ratios": [1, 0]},
]


def parts_of(shared, **changes):
    variants = [one | changes.get(one["name"], {}) for one in VARIANTS]
    return plan(AblationSettings.model_validate({"seeds": [5], "variants": variants}), shared, ["a", "b"])


@pytest.fixture(scope="module")
def finished(bench, shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return folder, run_parts(parts_of(shared), bench, folder)


def scores_of(folder, name):
    return read_results(folder, name, 5)[0]


def stamps(folder):
    return {path.parent.parent.name: path.stat().st_mtime_ns for path in folder.glob(f"*/seed_5/{OUTCOME}")}


def test_every_variant_is_trained_and_scored(finished):
    folder, runs = finished
    AblationRuns.validate(runs)
    assert runs["variant"].tolist() == [
        "conquer", "alone_a", "alone_b", "continued", "main_only", "divide", "oracle", "k1", "prompts", "ratio_1",
    ]  # fmt: skip
    steps = runs.set_index("variant")["steps"]
    assert steps["continued"] == steps["main_only"] == steps["divide"] == steps["conquer"] / 2
    assert steps["ratio_1"] == 0
    uses = runs.set_index("variant")["uses_experts"]
    assert not uses[["conquer", "continued", "main_only", "ratio_1"]].any()
    assert uses[["divide", "oracle", "k1"]].all()
    for name in runs["variant"]:
        scores, gates = read_results(folder, name, 5)
        Scores.validate(scores)
        Gates.validate(gates)
        assert set(scores["split"]) == {"val", "test"}


def test_the_same_films_are_judged_of_all_models(finished):
    folder, _ = finished
    for name in ("conquer", "alone_a", "alone_b", "divide"):
        leaked = scores_of(folder, name).query("leaked")
        assert set(leaked["image_id"]) == {"c3"}  # seen in b, also for the model of a alone
    assert set(scores_of(folder, "alone_a").query("trained_on")["source"]) == {"a"}


def test_where_the_source_must_be_known_only_sources_trained_on_are_scored(finished):
    folder, _ = finished
    assert set(scores_of(folder, "divide")["source"]) == {"a", "b", "c"}
    assert set(scores_of(folder, "oracle")["source"]) == {"a", "b"}
    assert set(scores_of(folder, "prompts")["source"]) == {"a", "b"}
    gates = read_results(folder, "oracle", 5)[1]
    np.testing.assert_array_equal(
        gates.loc[gates["source"] == "b", ["expert_1", "expert_2", "expert_3"]].iloc[0], [0, 1, 0]
    )


def test_other_ratios_mix_the_same_networks(finished):
    folder, _ = finished
    whole, main = scores_of(folder, "divide"), scores_of(folder, "ratio_1")
    pd.testing.assert_frame_equal(whole[["image_id", "finding"]], main[["image_id", "finding"]])
    assert (whole["score"] - main["score"]).abs().max() > 1e-4


def test_only_models_that_others_start_from_keep_their_checkpoints(finished):
    folder, _ = finished
    kept = {path.parent.parent.name for path in folder.glob("*/seed_5/checkpoints")}
    assert kept == {"conquer", "divide"}


def test_a_second_run_does_nothing(finished, bench, shared):
    folder, runs = finished
    before = stamps(folder)
    pd.testing.assert_frame_equal(run_parts(parts_of(shared), bench, folder), runs)
    assert stamps(folder) == before


def test_a_stopped_run_goes_on_and_a_changed_variant_is_made_anew_with_all_that_starts_from_it(finished, bench, shared):
    folder, runs = finished
    (folder / "k1/seed_5" / OUTCOME).unlink()
    before = stamps(folder)
    changed = {"divide": {"change": {"divide": {"source_contrastive_weight": 0.5}}, "against": ["conquer"]}}
    again = run_parts(parts_of(shared, **changed), bench, folder)
    after = stamps(folder)
    assert {name for name in after if after[name] != before.get(name)} == {"k1", "divide", "ratio_1"}
    columns = ["variant", "epochs", "steps", "best_epoch"]
    pd.testing.assert_frame_equal(again[columns], runs[columns])


def test_a_folder_without_identity_is_not_trusted(finished, bench, shared):
    folder, _ = finished
    own = folder / "continued/seed_5"
    (own / "identity.json").unlink()
    (own / OUTCOME).write_text(json.dumps({"epochs": 99}))
    runs = run_parts(parts_of(shared)[:4], bench, folder)
    assert runs.set_index("variant").loc["continued", "epochs"] == 1


def test_a_model_with_other_experts_keeps_what_conquer_trained(bench, shared):
    model = build_unichest(shared.model, bench.findings, bench.prompts, 0)
    other = rebuilt(model, shared.model.model_copy(update={"experts": 5, "gate_input": "standardised"}), 1)
    assert len(other.mixture.experts) == 5
    for part in ("image_encoder", "mixture.main", "mixture.norm"):
        for old, new in zip(model.get_submodule(part).parameters(), other.get_submodule(part).parameters()):
            assert torch.equal(old, new)
    assert rebuilt(model, shared.model, 1) is model


def test_a_model_is_asked_with_its_sources_expert_and_words(bench, shared):
    model = build_unichest(shared.model, bench.findings, bench.prompts, 0).eval()
    model.set_ratios(0.5, 0.5)
    films = torch.randint(0, 255, (2, 1, 64, 64), dtype=torch.uint8)
    asked = AskedAbout(model, 1, True, bench.source_prompts["b"])
    queries = asked.queries_for(["left"])
    np.testing.assert_array_equal(queries.numpy(), bench.source_prompts["b"][[2]])
    with torch.no_grad():
        output = asked(films, queries).image
    torch.testing.assert_close(output.probabilities, 0.5 * output.main + 0.5 * output.experts[:, 1])
    assert asked.fingerprint() == model.fingerprint()
