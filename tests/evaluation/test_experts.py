"""Experts: one pass collects all answers, everything else recombines them."""

import io

import matplotlib.text
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from unichest_kedro.errors import SettingsError, UniChestError
from unichest_kedro.evaluation.expert_figures import SMALLEST_REACH, experts_figure, gate_by_source_figure
from unichest_kedro.evaluation.expert_measures import judge_experts
from unichest_kedro.evaluation.experts import (
    EQUAL,
    MAIN,
    MIXTURE,
    alone,
    gates_of,
    has_experts,
    mixed,
    no_answers,
    score_with_experts,
    variants,
    without,
)
from unichest_kedro.evaluation.gates import ALL, TRAINED, gate_by_source
from unichest_kedro.evaluation.measures import auroc
from unichest_kedro.evaluation.scoring import score
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.models.unichest import ModelSettings, build_unichest
from unichest_kedro.schemas import (
    ExpertAnswers,
    ExpertAurocs,
    ExpertDifferences,
    GateBySource,
    Gates,
    GateSummary,
    Scores,
)

FINDINGS = ("mass", "edema", "scar")
ASKED = {"mimic_cxr": ("edema", "mass"), "open_i": ("scar",)}
RATIOS = (0.6, 0.3)
LEAKED = pd.DataFrame(
    [("mimic_cxr", "mimic_cxr2", "test", "mimic_cxr", "its patient has films in the training split")],
    columns=["source", "image_id", "split", "seen_in", "reason"],
)


@pytest.fixture(scope="module")
def model():
    settings = {"backbone": "test_resnet", "image_size": 32, "width": 16, "layers": 1, "heads": 2, "feedforward": 8}
    embeddings = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    model = build_unichest(ModelSettings.model_validate(settings | {"experts": 3}), FINDINGS, embeddings, 1)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():  # far from even answers and gates
        for name, weight in model.mixture.named_parameters():
            if "norm" not in name and weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.6)
    model.set_ratios(*RATIOS)
    return model


@pytest.fixture(scope="module")
def data():
    """Seven films of a source trained on, five of one that is not; one film in train; labels and films reversed."""
    generator = np.random.default_rng(0)
    stores, labels, examples = {}, {}, []
    for source, count in (("mimic_cxr", 7), ("open_i", 5)):
        stores[source] = generator.integers(0, 256, (count, 40, 36), dtype=np.uint8)
        ids = [f"{source}{k}" for k in range(count)]
        table = pd.DataFrame({"source": source, "image_id": ids[::-1]})
        labels[source] = table.assign(
            **{finding: generator.integers(-1, 2, count).astype(np.int8) for finding in FINDINGS}
        )
        rows = {"image_row": range(count), "label_row": range(count)[::-1], "text_row": -1}
        split = ["train"] + ["test"] * (count - 1)
        examples.append(pd.DataFrame({"source": source, "image_id": ids, "patient_id": ids, "split": split} | rows))
    return {"examples": pd.concat(examples, ignore_index=True), "stores": stores, "labels": labels}


def ask(model, data, **changes):
    options = {"image_size": 32, "batch_size": 4, "resize": resize_square} | changes
    return score_with_experts(
        model, "ours", findings_by_source=ASKED, trained_on=["mimic_cxr"], leaked_films=LEAKED, **data, **options
    ).answers


@pytest.fixture(scope="module")
def answers(model, data):
    return ask(model, data)


@torch.no_grad()
def test_collected_answers_against_one_film_and_network_at_a_time(model, data, answers):
    ExpertAnswers.validate(answers)
    test = data["examples"].query("split == 'test'")
    assert len(answers) == 6 * 2 + 4 * 1
    model.eval()
    for row in test.itertuples():
        film = torch.from_numpy(resize_square(data["stores"][row.source][row.image_row], 32).copy())[None, None]
        queries = model.queries_for(ASKED[row.source])
        patches, _ = model.encode_images(film)
        memory, pooled = model.mixture._memory(patches)
        asked = model.mixture.norm(queries)[None]
        gate = model.mixture.gate(pooled).softmax(dim=-1)[0]
        main = model.mixture.main(asked, memory, model.mixture.norm).logits.sigmoid()[0]
        for q, finding in enumerate(ASKED[row.source]):
            got = answers[(answers["image_id"] == row.image_id) & (answers["finding"] == finding)].iloc[0]
            assert got["main"] == pytest.approx(float(main[q]), abs=1e-6)
            for k, expert in enumerate(model.mixture.experts, 1):
                said = expert(asked, memory, model.mixture.norm).logits.sigmoid()[0, q]
                assert got[f"expert_{k}"] == pytest.approx(float(said), abs=1e-6)
                assert got[f"gate_{k}"] == pytest.approx(float(gate[k - 1]), abs=1e-6)
            assert got["label"] == data["labels"][row.source][finding].iloc[row.label_row]
    assert answers[["expert_1", "expert_2"]].std().min() > 1e-3 and answers["gate_1"].std() > 1e-3
    assert answers.groupby("source")["trained_on"].first().to_dict() == {"mimic_cxr": True, "open_i": False}
    assert answers.loc[answers["leaked"], "image_id"].unique().tolist() == ["mimic_cxr2"]


def test_the_mixture_is_what_scoring_gives(model, data, answers):
    scores, gates = score(
        model,
        "ours",
        findings_by_source=ASKED,
        trained_on=["mimic_cxr"],
        leaked_films=LEAKED,
        image_size=32,
        batch_size=5,
        resize=resize_square,
        **data,
    )
    pd.testing.assert_frame_equal(answers[["image_id", "finding", "label"]], scores[["image_id", "finding", "label"]])
    np.testing.assert_allclose(mixed(answers, RATIOS), scores["score"], atol=1e-6)
    ours = gates_of(answers)
    Gates.validate(ours)
    pd.testing.assert_frame_equal(ours, gates, check_exact=False, atol=1e-6)


def test_one_pass_gives_scores_gates_and_the_answers_of_some_splits(model, data, answers):
    options = {"findings_by_source": ASKED, "trained_on": ["mimic_cxr"], "leaked_films": LEAKED, "image_size": 32}
    options |= data | {"batch_size": 3, "resize": resize_square, "splits": ("train", "test")}
    scores, gates = score(model, "ours", **options)
    got = score_with_experts(model, "ours", **options)
    Scores.validate(got.scores)
    pd.testing.assert_frame_equal(got.scores, scores, check_exact=False, atol=1e-6)
    pd.testing.assert_frame_equal(got.gates, gates, check_exact=False, atol=1e-6)
    pd.testing.assert_frame_equal(got.answers, answers, check_exact=False, atol=1e-6)  # those of the test split
    assert set(scores["fingerprint"]) == {model.fingerprint()}


def test_without_experts_all_tables_are_there_and_empty():
    answers = no_answers()
    ExpertAnswers.validate(answers)
    aurocs, differences = judge_experts(answers, (1.0, 0.0))
    ExpertAurocs.validate(aurocs), ExpertDifferences.validate(differences)
    gates, summary = gate_by_source(answers)
    GateBySource.validate(gates), GateSummary.validate(summary)
    assert aurocs.empty and differences.empty and gates.empty and summary.empty
    assert draws(experts_figure(aurocs, differences)) and draws(gate_by_source_figure(gates, summary))


@pytest.mark.parametrize("training", [True, False])
def test_collecting_is_repeatable_and_keeps_the_mode(model, data, answers, training):
    model.train(training)
    again = ask(model, data, batch_size=100)
    assert model.training == training
    pd.testing.assert_frame_equal(again, answers, check_exact=False, atol=1e-6)


def test_what_cannot_be_asked_is_said(model, data):
    with pytest.raises(UniChestError, match="no image in split val"):
        ask(model, data, splits=("val",))
    with pytest.raises(SettingsError, match="'gout'"):
        score_with_experts(
            model,
            "ours",
            findings_by_source={"mimic_cxr": ["gout"]},
            trained_on=[],
            leaked_films=LEAKED,
            image_size=32,
            batch_size=2,
            resize=resize_square,
            **data,
        )
    model.set_ratios(1, 0)
    assert not has_experts(model)
    try:
        with pytest.raises(UniChestError, match="does not use its experts"):
            ask(model, data)
    finally:
        model.set_ratios(*RATIOS)


def test_a_diverged_network_is_named(model, data):
    with torch.no_grad():
        bias = model.mixture.experts[1].head.bias
        kept = bias.clone()
        bias.fill_(float("nan"))
        try:
            with pytest.raises(UniChestError, match="'ours', experts: 12 of 36 answers of source 'mimic_cxr'"):
                ask(model, data)
        finally:
            bias.copy_(kept)


@pytest.mark.parametrize("leave_out", [(), (1,), (2, 3), (1, 2, 3)])
def test_mixing_against_a_row_by_row_sum(answers, leave_out):
    got = mixed(answers, RATIOS, leave_out)
    for row, value in zip(answers.to_dict("records"), got):
        kept = [k for k in (1, 2, 3) if k not in leave_out]
        total = sum(row[f"gate_{k}"] for k in kept)
        expected = RATIOS[0] * row["main"]
        expected += RATIOS[1] * sum(row[f"gate_{k}"] / total * row[f"expert_{k}"] for k in kept)
        assert value == pytest.approx(expected if kept else row["main"])


def test_an_expert_that_had_all_weight_leaves_it_to_all_others_alike(answers):
    one = answers.head(1).assign(gate_1=1.0, gate_2=0.0, gate_3=0.0, main=0.5, expert_2=0.2, expert_3=0.6)
    assert mixed(one, (0.5, 0.5), [1]) == pytest.approx([0.5 * 0.5 + 0.5 * 0.4])


def test_an_expert_that_is_not_there_cannot_be_left_out(answers):
    with pytest.raises(UniChestError, match="expert 4 cannot be left out: the experts are numbers 1 to 3"):
        mixed(answers, RATIOS, [4])


def test_variants_by_name(answers):
    said = variants(answers, RATIOS)
    assert list(said) == [MIXTURE, MAIN, *map(alone, (1, 2, 3)), EQUAL, *map(without, (1, 2, 3))]
    row = answers.iloc[3]
    assert said[alone(2)][3] == row["expert_2"] and said[MAIN][3] == row["main"]
    even = (row["expert_1"] + row["expert_2"] + row["expert_3"]) / 3
    assert said[EQUAL][3] == pytest.approx(0.6 * row["main"] + 0.3 * even)
    np.testing.assert_array_equal(said[without(3)], mixed(answers, RATIOS, [3]))


def make_answers(images=60, seed=0, experts=3):
    """`ExpertAnswers` of two images per patient: expert 1 knows the first source, expert 2 the second, 3 nothing."""
    generator = np.random.default_rng(seed)
    tables = []
    for place, (source, asked) in enumerate({"mimic_cxr": ("edema", "mass"), "open_i": ("edema", "scar")}.items()):
        n = images * len(asked)
        label = (generator.random(n) < 0.4).astype(int)
        ids = np.repeat([f"{source}_{k}" for k in range(images)], len(asked))
        gate = generator.random((images, experts)) + 3 * np.eye(experts)[place]
        gate = np.repeat(gate / gate.sum(axis=1, keepdims=True), len(asked), axis=0)
        table = pd.DataFrame({"model": "ours", "source": source, "split": "test", "image_id": ids})
        table["patient_id"] = np.repeat([f"p{k // 2}" for k in range(images)], len(asked))
        table["finding"] = list(asked) * images
        table = table.assign(query=table["finding"], fingerprint="f")
        table["label"] = np.where(generator.random(n) < 0.1, -1, label)
        table["main"] = np.clip(0.2 * label + 0.8 * generator.random(n), 0, 1)
        for k in range(1, experts + 1):
            knows = 0.9 if k == place + 1 else 0.0
            table[f"expert_{k}"] = np.clip(knows * label + (1 - knows) * generator.random(n), 0, 1)
        for k in range(1, experts + 1):
            table[f"gate_{k}"] = gate[:, k - 1]
        tables.append(table.assign(trained_on=source == "mimic_cxr", leaked=False))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def judged():
    return judge_experts(make_answers(), (0.5, 0.5), resamples=40)


def test_every_variants_auroc_against_its_own_computation(judged):
    answers = make_answers()
    ExpertAurocs.validate(judged.aurocs)
    said = variants(answers, (0.5, 0.5))
    table = judged.aurocs.set_index(["variant", "source"])
    for variant, probabilities in said.items():
        for source, findings in answers.groupby("source")["finding"].unique().items():
            areas = []
            for finding in findings:
                at = ((answers["source"] == source) & (answers["finding"] == finding)).to_numpy()
                areas.append(auroc(answers.loc[at, "label"].to_numpy(), probabilities[at]))
            assert table.loc[(variant, source), "auroc"] == pytest.approx(np.mean(areas))
    assert table.loc[(alone(1), "mimic_cxr"), "auroc"] > 0.95 > 0.7 > table.loc[(alone(1), "open_i"), "auroc"]


def test_differences_are_paired_and_against_the_mixture(judged):
    ExpertDifferences.validate(judged.differences)
    area = judged.aurocs.set_index(["variant", "source"])["auroc"]
    table = judged.differences.set_index(["variant", "source"])
    assert set(judged.differences["variant"]) == {MAIN, EQUAL, *map(alone, (1, 2, 3)), *map(without, (1, 2, 3))}
    for (variant, source), row in table.iterrows():
        assert row["difference"] == pytest.approx(area[(variant, source)] - area[(MIXTURE, source)])
        assert row["low"] <= row["difference"] <= row["high"]
        assert (row["p_value"] < 0.05) <= (row["low"] > 0 or row["high"] < 0)
    lost = table.loc[(without(1), "mimic_cxr")]
    assert lost["high"] < 0 and lost["p_value"] == 2 / 41  # the one who knows this source
    nothing = table.loc[(without(3), "mimic_cxr")]
    assert abs(nothing["difference"]) < abs(lost["difference"])


def test_paired_limits_against_resamples_drawn_one_by_one():
    import zlib

    answers = make_answers(images=20)
    said = variants(answers, (0.5, 0.5))
    at = (answers["source"] == "mimic_cxr").to_numpy()
    part = answers[at].reset_index(drop=True)
    patients = sorted(part["patient_id"].unique(), key=lambda name: int(name[1:]))
    order = pd.factorize(part.drop_duplicates("image_id").sort_values("image_id")["patient_id"])[1]
    generator = np.random.default_rng([42, zlib.crc32(b"mimic_cxr")])
    draws = generator.multinomial(len(patients), np.full(len(patients), 1 / len(patients)), size=15)
    gaps = []
    for draw in draws:
        times = dict(zip(order, draw))
        rows = np.repeat(np.arange(len(part)), part["patient_id"].map(times))
        drawn = part.iloc[rows]
        areas = {}
        for variant in (MIXTURE, without(1)):
            values = said[variant][at][rows]
            by_finding = [
                auroc(drawn["label"].to_numpy()[own], values[own])
                for own in ((drawn["finding"] == finding).to_numpy() for finding in ("edema", "mass"))
            ]
            areas[variant] = np.nanmean(by_finding)
        gaps.append(areas[without(1)] - areas[MIXTURE])
    row = judge_experts(answers, (0.5, 0.5), resamples=15).differences.set_index(["variant", "source"])
    row = row.loc[(without(1), "mimic_cxr")]
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.percentile(gaps, [2.5, 97.5])))


def test_one_model_at_a_time(answers):
    two = pd.concat([answers, answers.assign(model="theirs")])
    for judge in (lambda: judge_experts(two, RATIOS), lambda: gate_by_source(two)):
        with pytest.raises(UniChestError, match="one model at a time; the table holds ours, theirs"):
            judge()


def slow_information(weights):
    """Mutual information in bits of source (rows, all alike) and expert (columns), cell by cell."""
    joint = np.asarray(weights) / len(weights)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    cells = [
        joint[i, j] * np.log2(joint[i, j] / (rows[i] * columns[j]))
        for i, j in np.ndindex(joint.shape)
        if joint[i, j] > 0
    ]
    return sum(cells)


def test_gate_tables_against_sums_by_hand():
    answers = make_answers()
    table, summary = gate_by_source(answers, resamples=30)
    GateBySource.validate(table), GateSummary.validate(summary)
    gates = gates_of(answers)
    weights = gates[["expert_1", "expert_2", "expert_3"]]
    means, sharpness = weights.groupby(gates["source"]).mean(), weights.max(axis=1).groupby(gates["source"]).mean()
    for row in table.itertuples():
        assert row.weight == pytest.approx(means.loc[row.source, f"expert_{row.expert}"])
        assert row.sharpness == pytest.approx(sharpness[row.source])
        assert row.low <= row.weight <= row.high and row.images == 60
    whole = summary.set_index("over").loc[ALL]
    assert whole["mutual_information"] == pytest.approx(slow_information(means.to_numpy()))
    assert whole["sharpness"] == pytest.approx(sharpness.mean()) and whole["possible"] == 1
    assert whole["mutual_information_low"] <= whole["mutual_information"] <= whole["mutual_information_high"]
    assert summary.set_index("over")["sources"].to_dict() == {TRAINED: 1, ALL: 2}
    assert summary.set_index("over").loc[TRAINED, "mutual_information"] == pytest.approx(0, abs=1e-12)


def test_chosen_experts_and_their_information():
    answers = make_answers()
    table, summary = gate_by_source(answers, resamples=5)
    images = answers.drop_duplicates(["source", "image_id"])
    chosen = images[["gate_1", "gate_2", "gate_3"]].to_numpy().argmax(axis=1) + 1
    for row in table.itertuples():
        assert row.chosen == pytest.approx(np.mean(chosen[images["source"] == row.source] == row.expert))
    # Each source has an expert of its own, almost always: nearly the whole bit that two sources allow.
    assert 0.9 < summary.set_index("over").loc[ALL, "chosen_information"] <= 1


def test_gate_limits_against_resamples_drawn_one_by_one():
    import zlib

    answers = make_answers(images=12)
    table, _ = gate_by_source(answers, resamples=25)
    images = answers[answers["source"] == "open_i"].drop_duplicates("image_id")
    order = images["patient_id"].unique()
    draws = np.random.default_rng([42, zlib.crc32(b"open_i")]).multinomial(6, np.full(6, 1 / 6), size=25)
    means = [
        np.mean(
            [g for p, times in zip(order, draw) for g in list(images.loc[images["patient_id"] == p, "gate_2"]) * times]
        )
        for draw in draws
    ]
    row = table[(table["source"] == "open_i") & (table["expert"] == 2)].iloc[0]
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


def draws(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return np.asarray(Image.open(buffer).convert("L")).std() > 0


def texts(figure):
    return " | ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def test_gate_figure_shows_sources_experts_and_information():
    table, summary = gate_by_source(make_answers(), resamples=20)
    figure = gate_by_source_figure(table, summary)
    words = texts(figure)
    for expected in ("MIMIC-CXR", "Open-I", "Expert 3", "sharpness", "mutual", "maximum", "all 2 sources"):
        assert expected in words
    assert draws(figure)
    assert draws(gate_by_source_figure(table.iloc[:0], summary.iloc[:0]))


def test_experts_figure_shows_every_variant_and_no_magnified_noise(judged):
    figure = experts_figure(judged.aurocs, judged.differences)
    for expected in (MIXTURE, MAIN, EQUAL, alone(3), without(3), "Mean of zero-shot sources"):
        assert expected in texts(figure)
    assert draws(figure)
    still = judged.differences.assign(difference=0.0, low=-1e-6, high=1e-6)
    right = experts_figure(judged.aurocs, still).axes[1]
    assert right.get_xlim() == (-SMALLEST_REACH, SMALLEST_REACH)
    assert draws(experts_figure(judged.aurocs.iloc[:0], judged.differences.iloc[:0]))


def test_many_experts_still_have_a_look_each():
    results = judge_experts(make_answers(images=20, experts=9), (0.5, 0.5), resamples=3)
    table, summary = gate_by_source(make_answers(images=20, experts=9), resamples=3)
    gates, experts = gate_by_source_figure(table, summary), experts_figure(results.aurocs, results.differences)
    bars = {(patch.get_facecolor(), patch.get_hatch()) for patch in gates.legends[0].get_patches()}
    lines = {(line.get_color(), line.get_marker()) for line in experts.axes[0].get_legend().get_lines()}
    assert len(bars) == 9 and len(lines) == 11
    assert draws(gates) and draws(experts)
