import csv
import itertools
import logging
import math
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.errors import VocabularyError
from unichest_kedro.schemas import NATIVE_PREFIX, UNKNOWN, Labels
from unichest_kedro.sources import IngestionSettings, list_images
from unichest_kedro.sources.labels import VINBIGDATA_LABELS
from unichest_kedro.vocabulary import harmonise, load_vocabulary

FINDINGS = ("a", "b", "both", "tube", "never", "No Finding")
NAN = float("nan")


def make_vocabulary(**rules):
    labels = {
        "A": "a",
        "B": ["b", "both"],
        "C": "both",
        "Tube": "tube",
        "Nothing": "No Finding",
        "Dropped": [],
    }
    defaults = {
        "labels": labels,
        "uncertain": "ignore",
        "not_mentioned": "unknown",
        "readers": "any",
        "no_finding_label": "Nothing",
        "no_finding_exhaustive": True,
        "no_finding_silent_on": "Tube",
    }
    findings = [{"name": name, "prompt": name} for name in FINDINGS]
    return load_vocabulary({"findings": findings, "sources": {"chexpert": {**defaults, **rules}}})


def make_studies(readers=1, source="chexpert", **native):
    count = len(next(iter(native.values())))
    columns = {NATIVE_PREFIX + label: np.asarray(values, dtype="float64") for label, values in native.items()}
    ids = [f"i{n}" for n in range(count)]
    return pd.DataFrame({"source": source, "image_id": ids, "split": "train", "readers": readers, **columns})


def slowly(row, rules, findings):
    """One image's labels by the source's rules alone (no relations but those of "nothing found"), rule by rule."""
    answers = defaultdict(list)
    for label, names in rules.labels.items():
        if NATIVE_PREFIX + label in row:
            for name in names:
                answers[name].append(row[NATIVE_PREFIX + label])
    labels = {}
    for finding in findings:
        states = []
        for vote in answers[finding]:
            if math.isnan(vote):
                states.append(
                    {"absent": 0, "unknown": -1}[rules.not_mentioned_overrides.get(finding, rules.not_mentioned)]
                )
            elif vote == -1:
                policy = rules.uncertain_overrides.get(finding, rules.uncertain)
                states.append({"ignore": -1, "present": 1, "absent": 0}[policy])
            elif rules.readers == "any":
                states.append(1 if vote > 0 else 0)
            elif rules.readers == "majority":
                states.append(1 if vote / row["readers"] > 0.5 else 0)
            else:
                states.append(1 if vote == row["readers"] else 0)
        labels[finding] = 1 if 1 in states else -1 if -1 in states or not states else 0
    about = [name for name in findings if answers[name] and name not in ("tube", "No Finding")]
    if about and answers["No Finding"]:
        if any(labels[name] == 1 for name in about):
            labels["No Finding"] = 0
        if labels["No Finding"] == 1 and rules.no_finding_exhaustive:
            for name in about:
                if labels[name] == -1 and -1 not in answers[name]:
                    labels[name] = 0
    return labels


@pytest.mark.parametrize("uncertain", ["ignore", "present", "absent"])
@pytest.mark.parametrize("not_mentioned", ["absent", "unknown"])
@pytest.mark.parametrize("exhaustive", [True, False])
@pytest.mark.parametrize(
    "overrides",
    [{}, {"uncertain_overrides": {"both": "present", "a": "absent"}, "not_mentioned_overrides": {"a": "unknown"}}],
)
def test_every_combination_against_the_slow_rules(uncertain, not_mentioned, exhaustive, overrides):
    vocabulary = make_vocabulary(
        uncertain=uncertain, not_mentioned=not_mentioned, no_finding_exhaustive=exhaustive, **overrides
    )
    grid = np.array(list(itertools.product((1, 0, -1, NAN), repeat=5))).T
    studies = make_studies(**dict(zip(("A", "B", "C", "Tube", "Nothing"), grid)))
    labels = harmonise(studies, vocabulary).labels
    Labels.validate(labels)
    rules = vocabulary.rules("chexpert")
    expected = [slowly(row, rules, FINDINGS) for row in studies.to_dict("records")]
    assert labels[list(FINDINGS)].to_dict("records") == expected


@pytest.mark.parametrize("readers", ["any", "majority", "all"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_readers_against_the_slow_rules(readers, count):
    vocabulary = make_vocabulary(readers=readers)
    grid = np.array(list(itertools.product(range(count + 1), repeat=3))).T
    studies = make_studies(readers=count, A=grid[0], B=grid[1], Nothing=grid[2])
    labels = harmonise(studies, vocabulary).labels
    rules = vocabulary.rules("chexpert")
    expected = [slowly(row, rules, FINDINGS) for row in studies.to_dict("records")]
    assert labels[list(FINDINGS)].to_dict("records") == expected


def test_readers_by_hand():
    studies = make_studies(readers=3, A=[0, 1, 2, 3])
    states = {
        policy: harmonise(studies, make_vocabulary(readers=policy)).labels["a"].tolist()
        for policy in ("any", "majority", "all")
    }
    assert states == {"any": [0, 1, 1, 1], "majority": [0, 0, 1, 1], "all": [0, 0, 0, 1]}


def test_no_finding_by_hand(caplog):
    # nothing | nothing and A: a contradiction | nothing and a tube | nothing, A uncertain | A alone
    studies = make_studies(
        A=[NAN, 1, NAN, -1, 1],
        B=[NAN] * 5,
        C=[NAN] * 5,
        Tube=[NAN, NAN, 1, NAN, NAN],
        Nothing=[1, 1, 1, 1, NAN],
    )
    with caplog.at_level(logging.WARNING):
        labels, contradictions = harmonise(studies, make_vocabulary())
    assert labels["No Finding"].tolist() == [1, 0, 1, 1, 0]
    assert labels["a"].tolist() == [0, 1, 0, -1, 1]
    assert labels["b"].tolist() == [0, -1, 0, 0, -1]
    assert labels["tube"].tolist() == [-1, -1, 1, -1, -1]
    assert labels["never"].tolist() == [UNKNOWN] * 5
    assert contradictions.to_dict("records") == [
        {
            "source": "chexpert",
            "present": "a",
            "contradicted": "No Finding",
            "kind": "excludes",
            "count": 1,
            "silent": 0,
            "resolution": "No Finding is absent",
            "examples": "i1",
        }
    ]
    assert "chexpert: 1 pairs of labels contradict each other, 1 of them by stating 'a' present and" in caplog.text


def test_uncertain_or_absent_is_unknown():
    """The finding "both" is stated by two labels, B and C: no order of the two makes "uncertain or no" a "no"."""
    studies = make_studies(B=[0, -1, -1, 1, 0], C=[-1, 0, 1, -1, 0])
    assert harmonise(studies, make_vocabulary()).labels["both"].tolist() == [-1, -1, 1, 1, 0]


def test_a_column_that_this_copy_lacks_stays_unknown():
    labels = harmonise(make_studies(A=[NAN, 0], Nothing=[1, 1]), make_vocabulary()).labels
    assert labels["a"].tolist() == [0, 0]
    assert labels["b"].tolist() == [UNKNOWN, UNKNOWN]


def test_the_studies_are_not_changed():
    studies = make_studies(A=[NAN, 1], Nothing=[1, 1])
    before = studies.copy(deep=True)
    harmonise(studies, make_vocabulary())
    assert studies.equals(before)


def test_label_without_mapping():
    studies = make_studies(A=[1], Hernya=[1])
    with pytest.raises(
        VocabularyError, match=r"'chexpert' has the native label\(s\) 'Hernya' \(column 'native:Hernya'"
    ):
        harmonise(studies, make_vocabulary())
    assert harmonise(make_studies(A=[1], Dropped=[1]), make_vocabulary()).labels["a"].tolist() == [1]


def test_sources():
    studies = make_studies(A=[1, 0])
    studies.loc[1, "source"] = "mimic_cxr"
    with pytest.raises(VocabularyError, match="studies are of 2 sources"):
        harmonise(studies, make_vocabulary())
    with pytest.raises(VocabularyError, match="no rules for source 'vindr_cxr'"):
        harmonise(make_studies(A=[1], source="vindr_cxr"), make_vocabulary())


def test_real_chestxray14_labels(real, shipped):
    listing = list_images("chestxray14", real / "chestxray14", IngestionSettings()).listing
    labels, contradictions = harmonise(listing.assign(source="chestxray14"), shipped)
    with (real / "chestxray14/Data_Entry_2017_v2020.csv").open(newline="") as stream:
        listed = {row["Image Index"]: set(row["Finding Labels"].split("|")) for row in csv.DictReader(stream)}
    names = {
        "pleural effusion": "Effusion",
        "pleural thicken": "Pleural_Thickening",
        "No Finding": "No Finding",
    }
    for finding in shipped.annotated("chestxray14"):
        native = names.get(finding, finding.capitalize())
        assert labels[finding].tolist() == [int(native in listed[image]) for image in labels["image_id"]]
    assert contradictions.empty
    # What follows: nodule and mass make Nodule/Mass, which is a lesion; thickening is a disease of the pleura.
    either = [1 if "Nodule" in found or "Mass" in found else 0 for found in map(listed.get, labels["image_id"])]
    assert labels["Nodule/Mass"].tolist() == either
    follows = {"normal": ("No Finding", 0), "lesion": ("Nodule/Mass", 1), "Pleural Other": ("pleural thicken", 1)}
    for finding, (cause, state) in follows.items():
        because = labels[cause] == (0 if finding == "normal" else 1)
        assert labels[finding].tolist() == np.where(because, state, UNKNOWN).tolist()
    known = {*shipped.annotated("chestxray14"), "Nodule/Mass", *follows}
    assert (labels[[finding for finding in shipped.findings if finding not in known]] == UNKNOWN).all(axis=None)


def test_real_chexpert_labels(real, shipped):
    listing = list_images("chexpert", real / "chexpert", IngestionSettings()).listing
    labels, contradictions = harmonise(listing.assign(source="chexpert"), shipped)
    with (real / "chexpert/train.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    meaning = {"1.0": 1, "0.0": 0, "": 0, "-1.0": UNKNOWN}
    names = {"Lung Opacity": "opacity", "Lung Lesion": "lesion"}
    same = {"No Finding", "Pleural Other", "Support Devices"}
    for native in list(rows[0])[5:]:
        finding = native if native in same else names.get(native, native.lower())
        assert labels[finding].tolist() == [meaning[row[native]] for row in rows]
    assert contradictions.empty


def test_real_vinbigdata_labels(real, shipped):
    listing = list_images("vindr_cxr", real / "vinbigdata", IngestionSettings()).listing
    labels, contradictions = harmonise(listing.assign(source="vindr_cxr"), shipped)
    votes = defaultdict(set)
    with (real / "vinbigdata/train.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            votes[row["image_id"], row["class_name"]].add(row["rad_id"])
    for native in VINBIGDATA_LABELS:
        (finding,) = shipped.rules("vindr_cxr").labels[native]
        assert labels[finding].tolist() == [int(len(votes[image, native]) >= 2) for image in labels["image_id"]]
    assert (labels[["edema", "COPD", "Tuberculosis"]] == UNKNOWN).all(axis=None)
    # A majority may see a finding where another majority sees none: two of three readers each.
    assert set(contradictions["contradicted"]) <= {"No Finding"}
