"""The vectorised labels against a loop over single images that knows the relations as written, not the closed ones."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from unichest_kedro.errors import VocabularyError
from unichest_kedro.schemas import NATIVE_PREFIX, UNKNOWN, Contradictions, Labels
from unichest_kedro.vocabulary import harmonise, load_vocabulary, no_contradictions
from unichest_kedro.vocabulary.harmonise import REPORT_PREFIX

NAN = float("nan")
NAMES = (*"abcdefgh", "normal", "clear")


def pick(rng, names, most):
    return [str(name) for name in rng.choice(names, rng.integers(0, most + 1), replace=False)]


def random_content(rng):
    """A vocabulary file at random, which may well contradict itself."""
    definitions = []
    for name in NAMES[:-2]:
        others = [other for other in NAMES if other != name]
        finding = {"name": name, "prompt": name, "implies": pick(rng, others, 1)}
        if rng.random() < 0.4:
            finding["excludes"] = pick(rng, others, 2)
        definitions.append(finding)
    for name in rng.choice(range(8), 2, replace=False)[: rng.integers(0, 3)]:
        others = [other for other in NAMES[:8] if other != NAMES[name]]
        definitions[name]["union_of"] = [str(part) for part in rng.choice(others, rng.integers(2, 4), replace=False)]
    definitions += [{"name": "normal", "prompt": "normal", "implies": "clear"}, {"name": "clear", "prompt": "clear"}]
    natives = {label: pick(rng, NAMES[:-2], 2) for label in "ABCDEFGH"}
    natives |= {"N": ["normal"] if rng.random() < 0.3 else ["clear"], "W": pick(rng, ["normal"], 1)}
    policies = ["ignore", "present", "absent"]
    rules = {
        "labels": natives,
        "uncertain": str(rng.choice(policies)),
        "uncertain_overrides": {name: str(rng.choice(policies)) for name in pick(rng, NAMES, 2)},
        "not_mentioned": str(rng.choice(["absent", "unknown"])),
        "not_mentioned_overrides": {name: str(rng.choice(["absent", "unknown"])) for name in pick(rng, NAMES, 2)},
        "leaves_open": {label: pick(rng, [*NAMES[:-2], "all"], 2) for label in pick(rng, list(natives), 2)},
        "readers": str(rng.choice(["any", "majority", "all"])),
        "no_finding_label": "N",
        "no_finding_exhaustive": bool(rng.random() < 0.7),
        "no_finding_silent_on": pick(rng, list("ABCD"), 2),
        "report_labels": str(rng.choice(["none", "none", "fill", "only"])),
    }
    return {"findings": definitions, "normal_findings": ["normal", "clear"], "sources": {"chexpert": rules}}


def random_vocabulary(rng):
    while True:
        content = random_content(rng)
        try:
            return content, load_vocabulary(content)
        except VocabularyError:
            continue


def random_tables(rng, count=60):
    """Studies of which some label columns are missing, with reports of which some are, and labels of these."""
    readers = rng.integers(1, 4, count)
    columns = {}
    for label in [label for label in "ABCDEFGHNW" if rng.random() < 0.9]:
        votes = rng.integers(0, readers + 1).astype("float64")
        single = (readers == 1) & (rng.random(count) < 0.25)
        votes[single] = -1
        votes[rng.random(count) < 0.35] = NAN
        columns[NATIVE_PREFIX + label] = votes
    ids = [f"i{n}" for n in range(count)]
    report = np.where(rng.random(count) < 0.7, "a report", " ")
    studies = pd.DataFrame({"source": "chexpert", "image_id": ids, "readers": readers, "report": report, **columns})
    said = {}
    for name in [name for name in NAMES if rng.random() < 0.8]:
        values = rng.choice([1, 0, -1, NAN], count, p=[0.2, 0.2, 0.1, 0.5])
        said[REPORT_PREFIX + name] = np.where(report == " ", NAN, values)
    return studies, pd.DataFrame(said)


def either(states):
    return 1 if 1 in states else UNKNOWN if UNKNOWN in states else 0


def as_state(policy):
    return {"ignore": UNKNOWN, "unknown": UNKNOWN, "present": 1, "absent": 0}[policy]


def state_of(vote, row, rules, finding):
    if math.isnan(vote):
        return as_state(rules["not_mentioned_overrides"].get(finding, rules["not_mentioned"]))
    if vote == -1:
        return as_state(rules["uncertain_overrides"].get(finding, rules["uncertain"]))
    share = vote / row["readers"]
    return int({"any": share > 0, "majority": share > 0.5, "all": share == 1}[rules["readers"]])


def stated_slowly(row, said, rules):
    """Finding -> (state, nothing mentions it, it is hedged), of the findings that are labelled."""
    columns = [label for label in rules["labels"] if NATIVE_PREFIX + label in row] * (rules["report_labels"] != "only")
    opened = set()
    for label in columns:
        vote = row[NATIVE_PREFIX + label]
        if not math.isnan(vote) and vote != -1 and state_of(vote, row, rules, "") == 1:
            named = rules["leaves_open"].get(label, [])
            labelled = {finding for findings in rules["labels"].values() for finding in findings}
            opened |= labelled if "all" in named else set(named)
    answers = {}
    for finding in NAMES:
        votes = [row[NATIVE_PREFIX + label] for label in columns if finding in rules["labels"][label]]
        if votes:
            state = either([state_of(vote, row, rules, finding) for vote in votes])
            left = finding in opened
            state = UNKNOWN if left and state == 0 else state
            answers[finding] = state, all(map(math.isnan, votes)), left or -1 in votes
        column = REPORT_PREFIX + finding
        if rules["report_labels"] == "none" or column not in said:
            continue
        mentioned = not math.isnan(said[column])
        if votes and answers[finding][1] and mentioned:
            answers[finding] = state_of(said[column], {"readers": 1}, rules, finding), False, said[column] == -1
        elif not votes:
            state = state_of(said[column], {"readers": 1}, rules, finding)
            if not mentioned and (row["report"] == " " or finding in ("normal", "clear")):
                state = UNKNOWN
            answers[finding] = state, not mentioned, True
    return answers


def written_relations(content):
    """implies (parts to unions with it), excludes and unions, as written and as the source adds to them."""
    rules = content["sources"]["chexpert"]
    stated = {finding for findings in rules["labels"].values() for finding in findings}
    implies = {f["name"]: set([f["implies"]] if isinstance(f.get("implies"), str) else f.get("implies", []))
               for f in content["findings"]}  # fmt: skip
    unions = {f["name"]: f["union_of"] for f in content["findings"] if f.get("union_of")}
    for union, parts in unions.items():
        for part in parts:
            implies[part].add(union)
    nothing = set(rules["labels"]["N"])
    silent = {finding for label in rules["no_finding_silent_on"] for finding in rules["labels"][label]}
    alike = {"normal", "clear", *(name for one in nothing for name in follow(one, implies))}
    excludes = {}
    for finding in content["findings"]:
        name = finding["name"]
        default = [] if name in ("normal", "clear") else ["normal", "clear"]
        excludes[name] = set(finding.get("excludes", default))
        if name in silent:
            excludes[name] -= nothing
        elif name in stated and name not in alike and not nothing & set(follow(name, implies)):
            excludes[name] |= nothing
    return implies, excludes, unions


def follow(finding, implies):
    """The finding and what it implies, step by step."""
    found = [finding]
    for one in found:
        found += [other for other in sorted(implies[one]) if other not in found]
    return found


def excludes_slowly(one, other, implies, excludes):
    """Whether `one` makes `other` absent: something it implies excludes something that `other` implies."""
    return any(target in excludes[step] for step in follow(one, implies) for target in follow(other, implies))


def resolve_slowly(answers, content):
    """One image's labels and the contradictions (present, contradicted, kind)."""
    rules = content["sources"]["chexpert"]
    implies, excludes, unions = written_relations(content)
    stated = {name: answers[name][0] if name in answers else UNKNOWN for name in NAMES}
    present = {name for name in NAMES if stated[name] == 1}
    against = {name: {o for o in present if excludes_slowly(o, name, implies, excludes)} for name in NAMES}
    winners, losers = set(), set()
    while winners | losers != present:  # nobody wins while something that may still win excludes it
        winners |= {name for name in present - losers if against[name] <= losers}
        losers |= {name for name in present if against[name] & winners}
    labels = dict(stated)
    clashes = Counter()
    for name in NAMES:
        for winner in winners & {o for o in winners if excludes_slowly(o, name, implies, excludes)}:
            labels[name] = 0
            if stated[name] == 1:
                clashes[winner, name, "excludes"] += 1
    for winner in winners:
        for name in follow(winner, implies)[1:]:
            labels[name] = 1
            if stated[name] == 0:
                clashes[winner, name, "implies"] += 1
    if rules["no_finding_exhaustive"] and rules["report_labels"] != "only":
        for nothing in rules["labels"]["N"]:
            for name, (_, _, hedged) in answers.items():
                open_ = labels[nothing] == 1 and labels[name] == UNKNOWN and not hedged
                if open_ and excludes_slowly(name, nothing, implies, excludes):
                    labels[name] = 0
    for union, parts in unions.items():
        if any(labels[part] != 0 for part in parts):
            continue
        if labels[union] == UNKNOWN:
            labels[union] = 0
        elif labels[union] == 1:
            kept = [p for p in parts if any(excludes_slowly(o, p, implies, excludes) for o in NAMES if labels[o] == 1)]
            for part in parts:
                clashes[union, part, "union"] += 1
                labels[part] = 0 if part in kept else UNKNOWN
            if len(kept) == len(parts):
                labels[union] = UNKNOWN
    return labels, clashes


@pytest.mark.parametrize("seed", range(60))
def test_random_vocabularies_and_tables_against_a_loop(seed):
    rng = np.random.default_rng(seed)
    content, vocabulary = random_vocabulary(rng)
    studies, said = random_tables(rng)
    labels, contradictions = harmonise(studies, vocabulary, report_labels=said)
    Labels.validate(labels)
    if len(contradictions):
        Contradictions.validate(contradictions)
    clashes, silent, examples = Counter(), Counter(), {}
    rows = labels[list(NAMES)].to_dict("records")
    for row, spoken, got in zip(studies.to_dict("records"), said.to_dict("records"), rows):
        answers = stated_slowly(row, spoken, content["sources"]["chexpert"])
        expected, found = resolve_slowly(answers, content)
        assert got == expected
        clashes += found
        for clash in found:
            silent[clash] += clash[1] in answers and answers[clash[1]][1]
            examples.setdefault(clash, []).append(row["image_id"])
    table = contradictions.set_index(["present", "contradicted", "kind"])
    assert table["count"].to_dict() == clashes
    assert table["silent"].to_dict() == {clash: silent[clash] for clash in clashes}
    assert table["examples"].to_dict() == {clash: ", ".join(ids[:5]) for clash, ids in examples.items()}
    assert table["count"].is_monotonic_decreasing


@pytest.mark.parametrize("seed", range(60, 90))
def test_no_contradiction_is_left(seed):
    rng = np.random.default_rng(seed)
    _, vocabulary = random_vocabulary(rng)
    studies, said = random_tables(rng, 400)
    labels = harmonise(studies, vocabulary, report_labels=said).labels
    relations = vocabulary.relations("chexpert")
    for union, parts in relations.unions.items():
        assert not ((labels[union] == 1) & (labels[list(parts)] == 0).all(axis=1)).any()
        assert not ((labels[union] != 1) & (labels[list(parts)] == 1).any(axis=1)).any()
    for name in NAMES:
        present = labels[name] == 1
        assert (labels.loc[present, list(relations.implies[name])] == 1).all(axis=None)
        assert (labels.loc[present, list(relations.excludes[name])] == 0).all(axis=None)


def small(**rules):
    """Rib fracture implies fracture; nodule and mass make a union, which implies lesion; a tube contradicts nothing."""
    defaults = {"uncertain": "ignore", "not_mentioned": "unknown", "readers": "any", "no_finding_exhaustive": False}
    findings = [
        {"name": "rib fracture", "implies": "fracture"},
        {"name": "fracture"},
        {"name": "nodule"},
        {"name": "mass"},
        {"name": "nodule or mass", "union_of": ["nodule", "mass"], "implies": "lesion"},
        {"name": "lesion"},
        {"name": "tube", "excludes": []},
        {"name": "normal", "implies": "no finding"},
        {"name": "no finding"},
    ]
    labels = {finding["name"].upper(): finding["name"] for finding in findings}
    return load_vocabulary(
        {
            "findings": [{"prompt": finding["name"], **finding} for finding in findings],
            "normal_findings": ["normal", "no finding"],
            "sources": {"chexpert": {"labels": {**labels, "UNCHANGED": [], "SPOT": []}, **defaults, **rules}},
        }
    )


def studies_of(reports=None, **native):
    count = len(next(iter(native.values()), reports))
    columns = {NATIVE_PREFIX + label.replace("_", " "): np.array(v, dtype="float64") for label, v in native.items()}
    ids = [f"i{n}" for n in range(count)]
    spoken = {} if reports is None else {"report": reports}
    return pd.DataFrame({"source": "chexpert", "image_id": ids, "readers": 1, **spoken, **columns})


def test_by_hand_implied_and_counted():
    studies = studies_of(RIB_FRACTURE=[1, 1, 1, 0], FRACTURE=[NAN, 0, -1, NAN])
    labels, contradictions = harmonise(studies, small(not_mentioned="absent"))
    assert labels["fracture"].tolist() == [1, 1, 1, 0]
    assert labels["no finding"].tolist() == labels["normal"].tolist() == [0, 0, 0, UNKNOWN]
    # Two films had "absent" where "present" follows; in one of them only because nobody mentioned it.
    row = contradictions.iloc[0]
    assert (row["present"], row["contradicted"], row["kind"]) == ("rib fracture", "fracture", "implies")
    assert (row["count"], row["silent"], row["examples"]) == (2, 1, "i0, i1")
    assert row["resolution"] == "fracture is present"


def test_by_hand_unions():
    #                    a nodule | neither | one open | stated, yet neither | stated alone
    studies = studies_of(NODULE=[1, 0, 0, 0, NAN], MASS=[0, 0, NAN, 0, NAN], NODULE_OR_MASS=[NAN, NAN, NAN, 1, 1])
    labels, contradictions = harmonise(studies, small())
    assert labels["nodule or mass"].tolist() == [1, 0, UNKNOWN, 1, 1]
    assert labels["lesion"].tolist() == [1, UNKNOWN, UNKNOWN, 1, 1]  # implied, and no union: never absent by its parts
    assert labels["nodule"].tolist() == [1, 0, 0, UNKNOWN, UNKNOWN]
    assert contradictions[["present", "contradicted", "kind", "count"]].to_numpy().tolist() == [
        ["nodule or mass", "nodule", "union", 1],
        ["nodule or mass", "mass", "union", 1],
    ]
    assert contradictions["resolution"].tolist() == ["nodule is unknown", "mass is unknown"]


def test_a_union_all_of_whose_parts_are_excluded_is_unknown():
    vocabulary = load_vocabulary(
        {
            "findings": [
                {"name": "either", "prompt": "either", "union_of": ["one", "other"]},
                {"name": "one", "prompt": "one"},
                {"name": "other", "prompt": "other"},
                {"name": "not one", "prompt": "not one", "excludes": "one"},
                {"name": "not other", "prompt": "not other", "excludes": "other"},
            ],
            "sources": {
                "chexpert": {
                    "labels": {"E": "either", "N1": "not one", "N2": "not other"},
                    "uncertain": "ignore",
                    "not_mentioned": "unknown",
                    "readers": "any",
                    "no_finding_exhaustive": False,
                }
            },
        }
    )
    labels, contradictions = harmonise(studies_of(E=[1, 1], N1=[1, 1], N2=[1, 0]), vocabulary)
    assert labels["either"].tolist() == [UNKNOWN, 1]
    assert labels["one"].tolist() == [0, 0] and labels["other"].tolist() == [0, UNKNOWN]
    assert contradictions["kind"].tolist() == ["union", "union"]


def test_by_hand_normal_and_what_may_stand_beside_it():
    studies = studies_of(NORMAL=[1, 1, 1], MASS=[NAN, 1, 0], TUBE=[1, NAN, NAN])
    labels, contradictions = harmonise(studies, small())
    assert labels["normal"].tolist() == labels["no finding"].tolist() == [1, 0, 1]
    assert labels["tube"].tolist() == [1, UNKNOWN, UNKNOWN]
    assert contradictions[["present", "contradicted"]].to_numpy().tolist() == [["mass", "normal"]]


def test_by_hand_labels_that_leave_findings_open():
    vocabulary = small(leaves_open={"UNCHANGED": "all", "SPOT": "nodule"})
    studies = studies_of(NODULE=[0, 0, 1, 0], MASS=[0, 0, 0, 0], UNCHANGED=[1, 0, 1, 0], SPOT=[0, 1, 1, NAN])
    labels = harmonise(studies, vocabulary).labels
    assert labels["nodule"].tolist() == [UNKNOWN, UNKNOWN, 1, 0]
    assert labels["mass"].tolist() == [UNKNOWN, 0, UNKNOWN, 0]
    assert labels["nodule or mass"].tolist() == [UNKNOWN, UNKNOWN, 1, 0]


SAID = pd.DataFrame({f"{REPORT_PREFIX}mass": [1, 0, NAN, -1, 1], f"{REPORT_PREFIX}tube": [NAN, 1, NAN, NAN, NAN]})


@pytest.mark.parametrize(
    ("policy", "mass", "tube"),
    [
        ("none", [0, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN], [UNKNOWN] * 5),
        ("fill", [0, 0, UNKNOWN, UNKNOWN, UNKNOWN], [0, 1, UNKNOWN, 0, 0]),
        ("only", [1, 0, UNKNOWN, UNKNOWN, 1], [0, 1, UNKNOWN, 0, 0]),
    ],
)
def test_by_hand_report_labels(policy, mass, tube):
    """The native label wins, an uncertain one too; silence counts where there is a report, by the policy."""
    vocabulary = small(report_labels=policy, not_mentioned_overrides={"tube": "absent"})
    studies = studies_of(["r", "r", "", "r", "r"], MASS=[0, NAN, NAN, NAN, -1])
    labels = harmonise(studies, vocabulary, report_labels=SAID).labels
    assert labels["mass"].tolist() == mass
    assert labels["tube"].tolist() == tube


def test_silence_of_a_report_does_not_make_a_film_abnormal():
    said = pd.DataFrame({f"{REPORT_PREFIX}normal": [NAN, 1.0], f"{REPORT_PREFIX}mass": [NAN, NAN]})
    vocabulary = small(report_labels="only", not_mentioned="absent")
    labels = harmonise(studies_of(["words", "all is well"]), vocabulary, report_labels=said).labels
    assert labels["normal"].tolist() == [UNKNOWN, 1] and labels["mass"].tolist() == [0, 0]


def test_report_labels_without_a_column_of_reports():
    said = SAID[[f"{REPORT_PREFIX}tube"]]
    vocabulary = small(report_labels="fill", not_mentioned="absent")
    labels = harmonise(studies_of(MASS=[1, NAN, NAN, NAN, NAN]), vocabulary, report_labels=said).labels
    assert labels["tube"].tolist() == [UNKNOWN, 1, UNKNOWN, UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            SAID.iloc[:3],
            r"\(5 rows\) and its report labels \(3 rows\) are not of the same images.* Run `reports` again",
        ),
        (SAID.assign(image_id=["i0", "i1", "i3", "i2", "i4"]), r"are not of the same images in the same order"),
        (SAID.rename(columns={"report:mass": "report:massif"}), r"'report:massif', but the vocabulary has no finding"),
    ],
)
def test_report_labels_that_do_not_fit(said, words):
    with pytest.raises(VocabularyError, match=words):
        harmonise(studies_of(["r"] * 5, MASS=[NAN] * 5), small(report_labels="fill"), report_labels=said)


def test_no_contradictions():
    table = no_contradictions()
    assert list(table.columns) == list(Contradictions.to_schema().columns) and table.empty
    Contradictions.validate(table)
    studies = studies_of(MASS=[1])
    Contradictions.validate(harmonise(studies, small()).contradictions)


@pytest.mark.parametrize("keys", [None, pd.DataFrame({"source": "chexpert", "image_id": ["i0", "i1"]})])
def test_reports_that_were_not_read(caplog, keys):
    """The reports stage gives the keys alone where a source has no English report."""
    studies = studies_of(["", ""], MASS=[1, NAN])
    labels = harmonise(studies, small(report_labels="fill"), report_labels=keys).labels
    assert labels["mass"].tolist() == [1, UNKNOWN]
    assert "none of its reports was read. Its own labels are used alone" in caplog.text
    with pytest.raises(VocabularyError, match="none of its reports was read, so that nothing is known of its films"):
        harmonise(studies, small(report_labels="only"), report_labels=keys)
