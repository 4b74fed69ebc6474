"""What conf/base/vocabulary.yml makes of the label lists of each source."""

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.schemas import NATIVE_PREFIX, UNKNOWN, Labels
from unichest_kedro.sources import SOURCES, IngestionSettings, list_images
from unichest_kedro.sources.open_i import load_mesh_labels
from unichest_kedro.vocabulary import harmonise


def harmonised(shipped, source, *films):
    """Labels and contradictions of films that have all native labels, each given by the labels that are present."""
    labels = list(shipped.rules(source).labels)
    table = pd.DataFrame({NATIVE_PREFIX + label: [float(label in film) for film in films] for label in labels})
    ids = [f"i{n}" for n in range(len(films))]
    return harmonise(table.assign(source=source, image_id=ids, readers=1), shipped)


def test_there_are_rules_for_every_source(shipped):
    assert tuple(shipped.sources) == SOURCES


@pytest.mark.parametrize("source", SOURCES)
def test_a_label_states_the_wider_findings_that_its_source_labels(shipped, source):
    """Else a label alone would contradict itself: present by what it states, absent by what it leaves out."""
    implies, stated = shipped.relations().implies, shipped.rules(source).findings
    for label, findings in shipped.rules(source).labels.items():
        wider = {other for finding in findings for other in implies[finding]} & stated
        assert wider <= set(findings), f"{label} leaves out {wider - set(findings)}"


@pytest.mark.parametrize("source", SOURCES)
def test_single_labels_contradict_nothing(shipped, source):
    native = list(shipped.rules(source).labels)
    labels, contradictions = harmonised(shipped, source, *({label} for label in native))
    Labels.validate(labels)
    assert contradictions.empty
    for label, row in zip(native, labels.to_dict("records"), strict=True):
        assert all(row[finding] == 1 for finding in shipped.rules(source).labels[label])
        assert all(row[finding] != 0 for finding in shipped.rules(source).left_open(label))


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_label_leaves_open_it_does_not_state(shipped, source):
    rules = shipped.rules(source)
    for label, findings in rules.leaves_open.items():
        assert not set(findings) & set(rules.labels[label])
        assert set(findings) <= {*rules.findings, "all"}, f"{label} leaves open what the source does not label"


def test_open_i_has_the_native_labels_of_its_headings(shipped):
    assert set(shipped.rules("open_i").labels) == set(load_mesh_labels().labels)


def test_padchest_labels_are_written_as_the_adapter_writes_them(shipped):
    native = list(shipped.rules("padchest").labels)
    assert all(label == " ".join(label.lower().split()) for label in native)
    assert len(native) == len(set(native)) >= 174 + 19


def test_padchest_by_hand(shipped):
    films = (
        {"normal"},
        {"unchanged", "cardiomegaly"},
        {"granuloma"},
        {"calcified pleural plaques", "nsg tube"},
        {"callus rib fracture", "pacemaker"},
        {"pseudonodule", "nipple shadow"},
        {"normal", "pneumonia"},  # which its tables should not hold
    )
    labels, contradictions = harmonised(shipped, "padchest", *films)
    of = labels.set_index("image_id")
    assert (of.loc["i0", ["normal", "No Finding"]] == 1).all()
    others = [finding for finding in shipped.annotated("padchest") if finding != "normal"]
    assert (of.loc["i0", others] == 0).all()
    assert of.loc["i1", "cardiomegaly"] == 1 and (of.loc["i1", ["normal", "No Finding"]] == 0).all()
    assert of.loc["i1", "pleural effusion"] == UNKNOWN == of.loc["i2", "nodule"]
    assert of.loc["i2", "mass"] == 0 and of.loc["i2", "Nodule/Mass"] == UNKNOWN
    present = ["calcification", "pleural thicken", "Pleural Other", "tube", "Support Devices"]
    assert (of.loc["i3", present] == 1).all() and of.loc["i3", "line"] == 0
    assert (of.loc["i4", ["Rib fracture", "fracture", "pacemaker", "device", "Support Devices"]] == 1).all()
    assert of.loc["i4", "Clavicle fracture"] == 0
    assert (of.loc["i5", ["nodule", "mass", "Nodule/Mass", "normal"]] == 0).all() and of.loc["i5", "lesion"] == UNKNOWN
    assert of.loc["i6", "normal"] == of.loc["i6", "No Finding"] == 0 and of.loc["i6", "pneumonia"] == 1
    assert contradictions[["present", "contradicted", "count"]].to_numpy().tolist() == [["pneumonia", "normal", 1]]


def test_shenzhen_and_siim_acr_by_hand(shipped):
    of = harmonised(shipped, "shenzhen", {"Normal"}, {"Tuberculosis"}).labels
    assert of["Tuberculosis"].tolist() == [0, 1]
    assert of["normal"].tolist() == of["No Finding"].tolist() == [1, 0]
    of = harmonised(shipped, "siim_acr", {"Pneumothorax"}, set()).labels
    assert of["pneumothorax"].tolist() == [1, 0] and of["No Finding"].tolist() == [0, UNKNOWN]


def test_mimic_cxr_reports_answer_where_the_labeler_is_silent(shipped):
    studies = pd.DataFrame({"source": "mimic_cxr", "image_id": ["i0", "i1"], "readers": 1, "report": ["words", ""]})
    for label in shipped.rules("mimic_cxr").labels:
        studies[NATIVE_PREFIX + label] = np.nan
    studies[f"{NATIVE_PREFIX}Pneumonia"] = [-1.0, 1.0]
    said = {"report:pneumonia": [1.0, np.nan], "report:pacemaker": [1.0, np.nan], "report:scar": [np.nan, np.nan]}
    labels, contradictions = harmonise(studies, shipped, report_labels=pd.DataFrame(said))
    assert labels["pneumonia"].tolist() == [UNKNOWN, 1]  # what the labeler is not sure of is not overruled
    assert labels["pacemaker"].tolist() == [1, UNKNOWN] and labels["Support Devices"].tolist() == [1, 0]
    assert labels["scar"].tolist() == [0, UNKNOWN]
    assert labels["No Finding"].tolist() == [0, 0]
    row = contradictions.set_index("present").loc["pacemaker"]
    assert (row["contradicted"], row["count"], row["silent"]) == ("Support Devices", 1, 1)


def test_real_open_i_labels(real, shipped):
    """The indexers' "normal" stands alone, and a report that nobody indexed states nothing."""
    listing = list_images("open_i", real / "open_i", IngestionSettings()).listing
    labels, contradictions = harmonise(listing.assign(source="open_i"), shipped)
    native = listing.filter(like=NATIVE_PREFIX)
    indexed = native.notna().any(axis=1)
    assert contradictions.empty and 0 < (~indexed).sum() < len(listing) / 10
    assert (labels.loc[~indexed.to_numpy(), list(shipped.findings)] == UNKNOWN).all(axis=None)
    assert labels["normal"].tolist() == native[f"{NATIVE_PREFIX}Normal"].fillna(UNKNOWN).astype(int).tolist()
    for finding in ("pneumonia", "hernia", "Rib fracture"):
        label = {"Rib fracture": "Rib Fracture"}.get(finding, finding.capitalize())
        assert (labels.loc[labels[finding] == 1].index == native.index[native[NATIVE_PREFIX + label] == 1]).all()
