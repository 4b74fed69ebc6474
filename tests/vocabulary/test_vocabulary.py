import copy
import pickle

import pytest
import yaml

from unichest_kedro.errors import VocabularyError
from unichest_kedro.sources import SOURCES
from unichest_kedro.sources.labels import (
    CHESTXRAY14_LABELS,
    CHEXPERT_LABELS,
    SHENZHEN_LABELS,
    SIIM_ACR_LABELS,
    VINBIGDATA_LABELS,
    VINDR_LABELS,
)
from unichest_kedro.vocabulary import SourceRules, Vocabulary, load_vocabulary

PAPER = (
    "normal, pleural effusion, opacity, pneumothorax, edema, atelectasis, tube, consolidation, "
    "enlarged cardiomediastinum, tip, pneumonia, line, cardiomegaly, fracture, calcification, device, "
    "engorgement, nodule, wire, pacemaker, pleural thicken, marking, scar, hyperinflate, blunt, "
    "collapse, emphysema, aerate, mass, infiltration, obscure, deformity, hernia, drainage, "
    "distention, shift, stent, lesion, hardware, dilation, aspiration, fibrosis, No Finding, Pleural "
    "Other, Support Devices, Aortic enlargement, Clavicle fracture, Enlarged PA, ILD, Lung cavity, "
    "Lung cyst, Mediastinal shift, Nodule/Mass, Pulmonary fibrosis, Rib fracture, Other lesion, COPD, "
    "Lung tumor, Tuberculosis, Other diseases"
)


def test_the_papers_findings_in_its_order(shipped):
    assert shipped.findings == tuple(PAPER.split(", ")) and len(shipped.findings) == 60
    assert tuple(shipped.prompts) == shipped.findings == tuple(shipped.synonyms)


@pytest.mark.parametrize(
    ("source", "labels"),
    [
        ("mimic_cxr", CHEXPERT_LABELS),
        ("chexpert", CHEXPERT_LABELS),
        ("chestxray14", CHESTXRAY14_LABELS),
        ("vindr_cxr", VINDR_LABELS),
        ("vindr_cxr", VINBIGDATA_LABELS),
        ("shenzhen", SHENZHEN_LABELS),
        ("siim_acr", SIIM_ACR_LABELS),
    ],
)
def test_every_native_label_states_one_finding(shipped, source, labels):
    mapped = [shipped.rules(source).labels[label] for label in labels]
    assert all(len(findings) == 1 for findings in mapped)
    assert len({findings[0] for findings in mapped}) == len(labels)
    if labels is not VINBIGDATA_LABELS:
        assert set(shipped.annotated(source)) == {findings[0] for findings in mapped}


def test_annotated_is_in_the_vocabularys_order(shipped):
    for source in SOURCES:
        positions = [shipped.findings.index(finding) for finding in shipped.annotated(source)]
        assert positions == sorted(positions)


def test_phrases_lead_back_to_their_finding(shipped):
    assert shipped.phrases["ptx"] == "pneumothorax"
    assert shipped.phrases["nodule/mass"] == "Nodule/Mass"
    assert len(shipped.phrases) == sum(1 + len(words) for words in shipped.synonyms.values())
    assert all(shipped.phrases[word] == name for name, words in shipped.synonyms.items() for word in words)


def test_round_trips(shipped, vocabulary_file):
    assert Vocabulary.from_yaml(shipped.to_yaml()) == shipped
    assert Vocabulary.from_yaml(str(vocabulary_file)) == shipped
    assert load_vocabulary(yaml.safe_load(vocabulary_file.read_text())) == shipped
    assert pickle.loads(pickle.dumps(shipped)) == shipped


SMALL = {
    "findings": [
        {"name": "edema", "prompt": "lung edema", "synonyms": ["oedema"]},
        {"name": "No Finding", "prompt": "no finding"},
    ],
    "sources": {
        "chexpert": {
            "labels": {"Edema": "edema", "No Finding": ["No Finding"]},
            "uncertain": "ignore",
            "not_mentioned": "absent",
            "readers": "any",
            "no_finding_label": "No Finding",
            "no_finding_exhaustive": True,
        }
    },
}


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (["sources", "chexpert", "labels", "Edema"], "odema", r"'Edema' names the unknown finding 'odema'"),
        (
            ["sources", "chexpert", "labels", "Edema"],
            None,
            r"sources.chexpert.labels.Edema: .*has no mapping",
        ),
        (
            ["sources", "chexpert", "uncertain"],
            "maybe",
            r"uncertain: 'maybe' is not allowed: .*'ignore', 'present'",
        ),
        (["sources", "chexpert", "uncertain_overrides"], {"odema": "present"}, r"unknown finding 'odema'"),
        (["sources", "chexpert", "not_mentioned"], "present", r"not_mentioned: 'present' is not allowed"),
        (["sources", "chexpert", "readers"], 2, r"readers: 2 is not allowed: .*'majority'"),
        (["sources", "chexpert", "reader"], "any", r"sources.chexpert.reader: unknown key"),
        (["sources", "chexpert", "no_finding_label"], "Normal", r"no_finding_label names 'Normal'"),
        (["sources", "chexpert", "no_finding_label"], [], r"no_finding_exhaustive is true, but"),
        (["sources", "chexpert", "no_finding_silent_on"], ["Tube"], r"no_finding_silent_on names 'Tube'"),
        (
            ["sources", "chexprt"],
            SMALL["sources"]["chexpert"],
            r"unknown source 'chexprt'. Known sources: mimic_cxr.* say `own: true`",
        ),
        (["findings", 1, "name"], "edema", r"finding 'edema' is there twice"),
        (["findings", 1, "prompt"], "lung edema", r"prompt 'lung edema' is there twice"),
        (["findings", 1, "prompt"], "", r"findings.1.prompt: '' is not allowed"),
        (
            ["findings", 1, "synonyms"],
            ["oedema"],
            r"'oedema' of finding 'No Finding' is already a phrase of 'edema'",
        ),
        (
            ["findings", 0, "synonyms"],
            ["oedema", "oedema"],
            r"'oedema' of finding 'edema' is already a phrase of 'edema'",
        ),
        (["findings", 0, "synonyms"], ["edema"], r"'edema' of finding 'edema' is already a phrase of 'edema'"),
        (["findings", 1, "name"], "Edema", r"'edema' of finding 'Edema' is already a phrase of 'edema'"),
        (["findings", 1, "prompt"], "Lung  Edema", r"prompt 'lung edema' is there twice"),
        (["findings", 0, "implies"], "swelling", r"'edema': implies names the unknown finding 'swelling'"),
        (["findings", 0, "implies"], "edema", r"'edema': implies names the finding itself"),
        (["findings", 0, "implies"], ["No Finding"] * 2, r"'edema': implies: 'No Finding' is there twice"),
        (["findings", 0, "excludes"], ["nofinding"], r"'edema': excludes names the unknown finding 'nofinding'"),
        (["findings", 0, "union_of"], ["No Finding"], r"'edema': union_of has the single part 'No Finding'"),
        (["normal_findings"], ["healthy"], r"normal_findings names the unknown finding 'healthy'"),
        (["sources", "chexpert", "labels", "Edema"], ["edema", "edema"], r"label 'Edema': 'edema' is there twice"),
        (["sources", "chexpert", "not_mentioned_overrides"], {"odema": "absent"}, r"unknown finding 'odema'"),
        (["sources", "chexpert", "leaves_open"], {"Edem": "edema"}, r"leaves_open names 'Edem', which is not among"),
        (["sources", "chexpert", "leaves_open"], {"Edema": "odema"}, r"leaves_open: 'Edema' names the unknown finding"),
        (["sources", "chexpert", "report_labels"], "some", r"report_labels: 'some' is not allowed: .*'fill' or 'only'"),
        (
            ["findings", 1, "synonyms"],
            ["edema"],
            r"'edema' of finding 'No Finding' is already a phrase of 'edema'",
        ),
        (
            ["findings", 0, "synonyms"],
            ["no-finding"],
            r"'no finding' of finding 'No Finding' is already a phrase of 'edema'",
        ),
        (["findings", 1, "synonyms"], ["Clear"], r"synonym 'Clear' must be lower case"),
        (["findings"], [], r"findings: \[\] is not allowed"),
    ],
)
def test_contradictions_are_named(where, value, words):
    load_vocabulary(SMALL)
    content = copy.deepcopy(SMALL)
    place = content
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value
    with pytest.raises(VocabularyError, match=words):
        load_vocabulary(content)


def test_files_that_are_no_vocabulary(tmp_path):
    with pytest.raises(VocabularyError, match=r"nowhere.yml: cannot be read as YAML"):
        Vocabulary.from_yaml(tmp_path / "nowhere.yml")
    with pytest.raises(VocabularyError, match="cannot be read as YAML"):
        Vocabulary.from_yaml("findings: [\n")
    with pytest.raises(VocabularyError, match="holds no mapping"):
        Vocabulary.from_yaml("- a\n- b\n")
    with pytest.raises(VocabularyError, match="findings: missing"):
        load_vocabulary({"sources": {}})


def test_a_key_that_stands_twice():
    text = yaml.safe_dump(SMALL, sort_keys=False).replace(
        "      Edema: edema\n", "      Edema: edema\n      Edema: []\n"
    )
    with pytest.raises(VocabularyError, match=r"key 'Edema' stands twice, again in line \d+"):
        Vocabulary.from_yaml(text)


def test_source_without_rules():
    with pytest.raises(VocabularyError, match=r"no rules for source 'vindr_cxr' \(there are: chexpert\)"):
        load_vocabulary(SMALL).annotated("vindr_cxr")


def test_rules_of_further_sources():
    rules = SourceRules(
        labels={"Oedema": "edema"},
        uncertain="ignore",
        not_mentioned="unknown",
        readers="any",
        no_finding_exhaustive=False,
        own=True,
    )
    vocabulary = load_vocabulary(SMALL).with_sources({"my_hospital": rules})
    assert vocabulary.annotated("my_hospital") == ("edema",)
    assert list(vocabulary.sources) == ["chexpert", "my_hospital"]
    assert Vocabulary.from_yaml(vocabulary.to_yaml()) == vocabulary
    with pytest.raises(VocabularyError, match="'my_hospital': native label 'Oedema' names the unknown finding 'odema'"):
        vocabulary.with_sources({"my_hospital": rules.model_copy(update={"labels": {"Oedema": ("odema",)}})})


def test_annotated_is_what_a_source_labels_itself(shipped):
    assert "Nodule/Mass" not in shipped.annotated("chestxray14")
    fill = shipped.rules("mimic_cxr").model_copy(update={"report_labels": "fill"})
    only = fill.model_copy(update={"report_labels": "only"})
    assert len(shipped.with_sources({"mimic_cxr": fill}).annotated("mimic_cxr")) == 14
    assert shipped.with_sources({"mimic_cxr": only}).annotated("mimic_cxr") == shipped.findings
