"""From truth to labels: definitions contradict each other, each switch does what it says and nothing else."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.errors import SettingsError
from unichest_kedro.phantoms import SOURCES, Difference, Differences, PhantomSettings, reports
from unichest_kedro.phantoms.cohort import plan_films, truth_table
from unichest_kedro.phantoms.definitions import COMMON, OWN, definition_of, judge, labels_of, with_mistakes
from unichest_kedro.phantoms.differences import profile_of
from unichest_kedro.phantoms.findings import CHRONIC, KINDS
from unichest_kedro.phantoms.make import LAYOUTS
from unichest_kedro.sources.base import TRAINED_ON

SHARED = {
    "opacity": {"mimic_cxr": "Lung Opacity", "chexpert": "Lung Opacity", "vindr_cxr": "Lung Opacity"},
    "infiltration": {"chestxray14": "Infiltration", "vindr_cxr": "Infiltration"},
    "consolidation": dict.fromkeys(TRAINED_ON, "Consolidation"),
    "pneumonia": dict.fromkeys(TRAINED_ON, "Pneumonia"),
    "atelectasis": dict.fromkeys(TRAINED_ON, "Atelectasis"),
    "patches": {"chestxray14": "Infiltration", "open_i": "Infiltrate", "padchest": "infiltrates"},
    "shadow": {"mimic_cxr": "Lung Opacity", "open_i": "Opacity"},
    "enlarged cardiomediastinum": dict.fromkeys(("mimic_cxr", "chexpert"), "Enlarged Cardiomediastinum"),
}


def only(kind, strength=1.0):
    return Differences(**{**Differences.none().model_dump(), kind: Difference(strength=strength)})


def plans_of(source="mimic_cxr", count=1500, differences=None, seed=1):
    profile = profile_of(source, differences or Differences.none())
    return plan_films(source, count, seed, LAYOUTS[source].COHORT, profile)


def judged(truth, source, differences):
    return judge(truth, source, profile_of(source, differences), np.random.default_rng(0)).present


@pytest.fixture(scope="module")
def truth():
    return truth_table(plans_of())


def test_common_definitions_agree_on_every_film(truth):
    for labels in SHARED.values():
        columns = [judged(truth, source, Differences.none())[label] for source, label in labels.items()]
        assert all(column.equals(columns[0]) for column in columns)


@pytest.mark.parametrize("finding", SHARED)
def test_own_definitions_contradict_each_other_on_the_same_films(truth, finding):
    columns = [judged(truth, source, only("definition"))[label] for source, label in SHARED[finding].items()]
    table = pd.concat(columns, axis=1).to_numpy()
    conflicts = (table.any(axis=1) & ~table.all(axis=1)).mean()
    assert conflicts > 0.05
    half = [judged(truth, source, only("definition", 0.5))[label] for source, label in SHARED[finding].items()]
    mixed = pd.concat(half, axis=1).to_numpy()
    assert 0 < (mixed.any(axis=1) & ~mixed.all(axis=1)).mean() < conflicts


def test_a_nodule_is_opacity_in_one_source_and_not_in_another():
    truth = pd.DataFrame([{**dict.fromkeys(KINDS, 0.0), kind: 0.9} for kind in ("nodule", "consolidation")])
    opacity = {
        source: judged(truth, source, only("definition"))["Lung Opacity"].tolist()
        for source in ("mimic_cxr", "chexpert", "vindr_cxr")
    }
    assert opacity == {"mimic_cxr": [False, True], "chexpert": [True, True], "vindr_cxr": [True, False]}


def test_judge_against_a_plain_loop(truth):
    for source in SOURCES:
        profile = profile_of(source, Differences(label_noise=Difference(on=False)))
        present = judged(truth.head(200), source, Differences())
        for label in labels_of(source):
            rule = definition_of(source, label, own=True)
            for i, row in enumerate(truth.head(200).to_dict("records")):
                expected = any(row[kind] >= max(floor, profile.threshold) for kind, floor in rule.items())
                assert present[label].iloc[i] == expected


def test_own_definitions_name_labels_of_their_source():
    assert set(OWN) == set(COMMON) == set(SOURCES)
    for source, rules in OWN.items():
        assert set(rules) <= set(COMMON[source])


def test_what_the_scored_sources_label_is_labelled_where_it_is_learnt():
    kinds = {
        source: {kind for own in (COMMON, OWN) for rule in own[source].values() for kind in rule} for source in SOURCES
    }
    learnt = set().union(*(kinds[source] for source in TRAINED_ON))
    assert learnt == set(KINDS)
    assert all(kinds[source] for source in SOURCES)


def test_threshold_decides_whether_a_mild_finding_is_present():
    truth = pd.DataFrame([{**dict.fromkeys(KINDS, 0.0), "effusion": 0.30}])
    strict = profile_of("chestxray14", only("threshold")).threshold
    assert profile_of("chestxray14", Differences.none()).threshold < 0.30 < strict
    assert judged(truth, "chestxray14", Differences.none())["Effusion"].item()
    assert not judged(truth, "chestxray14", only("threshold"))["Effusion"].item()


def test_prevalence_changes_how_common_findings_are():
    common = truth_table(plans_of("vindr_cxr", 3000)) > 0
    own = truth_table(plans_of("vindr_cxr", 3000, only("prevalence"))) > 0
    assert own["devices"].mean() < 0.7 * common["devices"].mean()
    assert own["aorta"].mean() > 1.2 * common["aorta"].mean()
    assert 0.2 < (~common.any(axis=1)).mean() < 0.4


def test_label_noise_changes_few_labels_and_none_when_off(truth):
    present = judged(truth, "chestxray14", Differences.none())
    none = with_mistakes(present, profile_of("chestxray14", Differences.none()), np.random.default_rng(1))
    own = with_mistakes(present, profile_of("chestxray14", only("label_noise")), np.random.default_rng(1))
    assert none.equals(present)
    assert 0.004 < (own != present).to_numpy().mean() < 0.03


def test_labelled_set_leaves_labels_out():
    assert profile_of("vindr_cxr", Differences.none()).unlabelled == ()
    assert profile_of("vindr_cxr", only("labelled_set")).unlabelled == ("Edema",)


def test_each_switch_changes_its_own_values_only():
    plain = profile_of("mimic_cxr", Differences.none())
    for kind in Differences.model_fields:
        own = profile_of("mimic_cxr", only(kind))
        changed = {name for name in vars(own) if getattr(own, name) != getattr(plain, name)}
        assert changed, kind
        off = profile_of("mimic_cxr", Differences(**{kind: Difference(on=False)}))
        assert all(getattr(off, name) == getattr(plain, name) for name in changed), kind


def test_patients_keep_their_anatomy_and_most_chronic_findings():
    plans = plans_of("chestxray14", 3000)
    kept = {True: [], False: []}
    for before, after in pairwise(plans):
        if before.patient == after.patient and before.study < after.study:
            assert before.anatomy == after.anatomy and before.split == after.split
            later = {finding.kind for finding in after.findings}
            for finding in before.findings:
                kept[finding.kind in CHRONIC].append(finding.kind in later)
    assert 0.85 < np.mean(kept[True]) < 0.97
    assert 0.4 < np.mean(kept[False]) < 0.65


@pytest.mark.parametrize("source", SOURCES)
def test_splits_have_their_sizes_and_share_no_patient(source):
    plans = plans_of(source, 400)
    assert len(plans) == 400
    patients = pd.DataFrame([(plan.patient, plan.split) for plan in plans]).drop_duplicates()
    assert patients[0].is_unique
    if source in TRAINED_ON:
        assert sum(plan.split == "test" for plan in plans) == 100
    else:
        assert {plan.split for plan in plans} == {""}


@pytest.mark.parametrize(("source", "kind"), [("vindr_cxr", "tuberculosis"), ("chestxray14", "hernia")])
def test_findings_of_some_sources_leave_all_other_films_as_they_are(source, kind):
    cohort, profile = LAYOUTS[source].COHORT, profile_of(source, Differences())
    plans = plan_films(source, 2000, 1, cohort, profile)
    without = plan_films(source, 2000, 1, replace(cohort, added={}), profile)
    shows = [kind in {finding.kind for finding in plan.findings} for plan in plans]
    assert 0.5 < np.mean(shows) / cohort.added[kind] < 1.5
    for plan, plain, shown in zip(plans, without, shows):
        assert replace(plan, findings=()) == replace(plain, findings=())
        assert plan.findings[: len(plain.findings)] == plain.findings
        assert shown or plan == plain
        kinds = [finding.kind for finding in plan.findings]
        assert len(kinds) == len(set(kinds)), "no finding is there twice"


def test_shenzhen_films_are_of_the_ill_and_of_the_healthy():
    truth = truth_table(plans_of("shenzhen", 600)) > 0
    assert 0.4 < truth["tuberculosis"].mean() < 0.6
    assert not truth[~truth["tuberculosis"]].any(axis=None)
    assert set(truth.columns[truth.any()]) == {"tuberculosis", "effusion", "thickening"}


TERMS = {
    "Enlarged Cardiomediastinum": r"mediastin",
    "Cardiomegaly": r"cardiomegaly|heart|cardiac silhouette",
    "Lung Opacity": r"opacit",
    "Lung Lesion": r"nodule|\bmass\b",
    "Edema": r"edema",
    "Consolidation": r"consolidation",
    "Pneumonia": r"pneumonia",
    "Atelectasis": r"atelectasis",
    "Pneumothorax": r"pneumothorax",
    "Pleural Effusion": r"effusion",
    "Pleural Other": r"pleural thickening",
    "Fracture": r"fracture",
    "Support Devices": r"tube|catheter|\bline\b|pacemaker",
}
DENIAL = r"\bno\b|normal"
DOUBT = r"\bmay\b|possible|probable|suspicious for|cannot be excluded"


def read_again(report):
    """A slow, plain reading of a report: label -> the states that its sentences give it."""
    body = " ".join(part for part in re.split(r"\n (?=[A-Z]+:)", report) if part[:9] in ("FINDINGS:", "IMPRESSIO"))
    body = re.sub(r"FINDINGS:|IMPRESSION:|\b\d\.\s", " ", body)
    states = {}
    for sentence in re.split(r"(?<=\.)\s+", " ".join(body.split())):
        for label, term in TERMS.items():
            if re.search(term, sentence, re.I):
                state = 0.0 if re.search(DENIAL, sentence, re.I) else 1.0
                states.setdefault(label, set()).add(-1.0 if re.search(DOUBT, sentence, re.I) else state)
    return states


def test_reports_say_what_the_labels_say():
    profile = profile_of("mimic_cxr", Differences())
    plans = [plan for plan in plans_of("mimic_cxr", 700, Differences()) if not plan.lateral]
    opinion = judge(truth_table(plans), "mimic_cxr", profile, np.random.default_rng(0))
    said = reports.mentions(opinion, profile, np.random.default_rng(1))
    texts = []
    for plan, row in zip(plans, said.to_dict("records")):
        rng = np.random.default_rng(plan.seed)
        text = reports.write_report(row, plan.findings, profile.threshold, plan.sex, rng)
        texts.append(text)
        expected = {label: {state} for label, state in row.items() if not np.isnan(state)}
        assert read_again(text) == expected, text
    assert len(set(texts)) > 0.95 * len(texts), "the wording varies"
    everything = "\n".join(texts)
    assert "___" in everything and "FINDINGS:" in everything and "IMPRESSION:" in everything
    states = said.to_numpy()
    assert all((states == state).mean() > 0.01 for state in (1, 0, -1))


def test_no_finding_is_said_of_films_with_nothing_but_devices():
    said = pd.DataFrame(np.nan, index=range(3), columns=list(TERMS))
    said.loc[1, "Support Devices"] = 1.0
    said.loc[2, "Edema"] = -1.0
    assert reports.no_finding(said, [False] * 3).tolist()[:2] == [1.0, 1.0]
    assert np.isnan(reports.no_finding(said, [False] * 3)[2])
    assert np.isnan(reports.no_finding(said, [True] * 3)[0])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"images_per_source": 3}, "phantoms.images_per_source is 3: it must be at least 24."),
        ({"images_per_source": "many"}, "phantoms.images_per_source is 'many': it must be a whole number."),
        ({"colour": 1}, "phantoms.colour is no setting: there is differences, image_size, images_per_source, "),
        ({"image_sise": 64}, "phantoms.image_sise is no setting: did you mean phantoms.image_size"),
        ({"n_jobs": 0}, "phantoms.n_jobs: 0 means no process; allowed are a number of processes, or -1 for one"),
        (
            {"differences": {"noise": {"strength": 2}}},
            "phantoms.differences.noise.strength is 2: it must be at most 1.",
        ),
        ({"differences": {"noise": 2}}, "phantoms.differences.noise is 2: it must be at most 1."),
        ({"differences": {"noise": "strong"}}, "phantoms.differences.noise: 'strong' is no difference; allowed are a"),
        ({"differences": {"stile": 1}}, "phantoms.differences.stile is no setting: there is collimation, definition, "),
        (
            {"differences": {"marker": 1}},
            "phantoms.differences.marker is no setting: did you mean phantoms.",
        ),
        (None, "phantoms is empty: it must be a mapping of names to values."),
        ([1], "phantoms is [1]: it must be a mapping of names to values."),
    ],
)
def test_wrong_settings_name_field_value_and_what_is_allowed(values, words):
    with pytest.raises(SettingsError) as caught:
        PhantomSettings.checked(values)
    assert str(caught.value).startswith(words)


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(SettingsError, match=r"(?s)2 settings are wrong:.*image_size.*seed"):
        PhantomSettings.checked({"image_size": 1, "seed": -1})


def test_scored_sources_have_films_of_their_own_number():
    settings = PhantomSettings(images_per_source=900)
    assert [settings.images_of(source) for source in SOURCES] == [900] * 4 + [300] * 4
    assert PhantomSettings(images_per_source=900, scored_images=50).images_of("padchest") == 50
    assert PhantomSettings(images_per_source=24).images_of("shenzhen") == 24
    with pytest.raises(SettingsError, match=r"scored_images is 5.*24"):
        PhantomSettings.checked({"scored_images": 5})


def test_a_difference_may_be_given_as_a_number_or_a_switch():
    differences = Differences.model_validate({"noise": 0.5, "markers": False, "threshold": {"strength": 0.2}})
    amounts = (differences.noise.amount, differences.markers.amount, differences.threshold.amount)
    assert amounts == (0.5, 0.0, 0.2) and differences.response.amount == 1.0


def test_an_unknown_source_is_named():
    with pytest.raises(SettingsError, match=r"brax.*mimic_cxr.*padchest"):
        profile_of("brax", Differences())
