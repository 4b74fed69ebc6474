import pytest

from unichest_kedro.errors import VocabularyError
from unichest_kedro.vocabulary import load_vocabulary


def make(*findings, normal=(), **rules):
    defaults = {"uncertain": "ignore", "not_mentioned": "unknown", "readers": "any", "no_finding_exhaustive": False}
    definitions = [{"prompt": finding["name"], **finding} for finding in findings]
    sources = {"chexpert": {**defaults, **rules}} if rules else {}
    return load_vocabulary({"findings": definitions, "normal_findings": normal, "sources": sources})


def test_closed_along_chains_and_upwards():
    relations = make(
        {"name": "rib fracture", "implies": "fracture"},
        {"name": "fracture", "implies": "injury"},
        {"name": "injury"},
        {"name": "nodule"},
        {"name": "mass"},
        {"name": "nodule or mass", "union_of": ["nodule", "mass"], "implies": "lesion"},
        {"name": "lesion", "excludes": "nothing seen"},
        {"name": "normal", "implies": "nothing seen"},
        {"name": "nothing seen", "excludes": []},
        {"name": "device", "excludes": []},
        normal=["normal"],
    ).relations()
    assert relations.implies["rib fracture"] == ("fracture", "injury")
    assert relations.implies["nodule"] == ("nodule or mass", "lesion")
    assert relations.implies["nodule or mass"] == ("lesion",)
    assert relations.excludes["rib fracture"] == ("normal",)
    # A lesion excludes what is written alone; as normal implies that, it excludes normal too, and so do its kinds.
    assert relations.excludes["lesion"] == relations.excludes["mass"] == ("normal", "nothing seen")
    assert relations.excludes["device"] == relations.excludes["normal"] == ()
    assert relations.unions == {"nodule or mass": ("nodule", "mass")}
    order = list(relations.excludes)
    assert all(order.index(loser) > order.index(one) for one, losers in relations.excludes.items() for loser in losers)


def test_among_the_labels_of_a_source():
    vocabulary = make(
        {"name": "edema"},
        {"name": "scar", "excludes": []},
        {"name": "tube"},
        {"name": "normal", "implies": "clear"},
        {"name": "clear"},
        {"name": "elsewhere"},
        normal=["normal", "clear"],
        labels={"E": "edema", "S": "scar", "T": "tube", "N": "clear"},
        no_finding_label="N",
        no_finding_silent_on="T",
    )
    general, here = vocabulary.relations().excludes, vocabulary.relations("chexpert").excludes
    assert general["scar"] == () and here["scar"] == ("normal", "clear")  # what excludes clear excludes normal
    assert general["tube"] == ("normal", "clear") and here["tube"] == ("normal",)
    assert general["elsewhere"] == here["elsewhere"] == ("normal", "clear")
    assert here["edema"] == ("normal", "clear")


def test_a_label_for_normal_beside_the_one_for_nothing_found():
    """It implies what the label for nothing found states, so that it cannot contradict it."""
    vocabulary = make(
        {"name": "edema"},
        {"name": "normal", "implies": "clear"},
        {"name": "clear"},
        labels={"E": "edema", "W": "normal", "N": "clear"},
        no_finding_label="N",
    )
    assert vocabulary.relations("chexpert").excludes["normal"] == ()


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        (
            [{"name": "a", "implies": "b"}, {"name": "b", "implies": "c"}, {"name": "c", "implies": "a"}],
            r"a cycle of implications: 'a' -> 'b' -> 'c' -> 'a'\. ",
        ),
        (
            [{"name": "u", "union_of": ["p", "q"], "implies": "p"}, {"name": "p"}, {"name": "q"}],
            r"a cycle of implications: 'u' -> 'p' -> 'u'\. .*a part implies its union",
        ),
        (
            [{"name": "a", "implies": "b", "excludes": "b"}, {"name": "b"}],
            r"'a' contradicts itself: it implies and excludes 'b'",
        ),
        (
            [{"name": "a", "implies": "b"}, {"name": "b", "implies": "c"}, {"name": "c", "excludes": "a"}],
            r"'a' contradicts itself: it implies 'c', which excludes it",
        ),
        (
            [{"name": "a", "implies": ["b", "c"]}, {"name": "b", "excludes": "c"}, {"name": "c"}],
            r"'a' contradicts itself: it implies 'b' and 'c', and the first excludes the second",
        ),
        (
            [{"name": "a", "excludes": "b"}, {"name": "b", "excludes": "a"}],
            r"exclude each other: 'a' -> 'b' -> 'a'\. .*which one counts",
        ),
        (
            [{"name": "a", "excludes": "b"}, {"name": "b", "excludes": "c"}, {"name": "c", "excludes": "a"}],
            r"exclude each other: 'a' -> 'b' -> 'c' -> 'a'",
        ),
        (
            [
                {"name": "u", "union_of": ["v", "p"]},
                {"name": "v", "union_of": ["p", "q"]},
                {"name": "p"},
                {"name": "q"},
            ],
            r"'u': its part 'v' is a union itself",
        ),
        ([{"name": "u", "union_of": ["u", "p"]}, {"name": "p"}], r"'u': union_of names the finding itself"),
    ],
)
def test_what_cannot_be_is_named(findings, words):
    with pytest.raises(VocabularyError, match=words):
        make(*findings)


def test_rules_that_turn_the_relations_into_a_circle():
    findings = [{"name": "a"}, {"name": "clear", "excludes": "a"}]
    with pytest.raises(VocabularyError, match=r"source 'chexpert': findings exclude each other: 'a' -> 'clear' -> 'a'"):
        make(*findings, labels={"A": "a", "N": "clear"}, no_finding_label="N")


def test_the_shipped_relations(shipped):
    """Every pathology excludes both ways of saying that a film is normal; what may stand beside "normal" neither."""
    relations = shipped.relations()
    beside = {name for name, losers in relations.excludes.items() if not losers}
    assert beside == {
        *(
            "normal",
            "No Finding",
            "tube",
            "tip",
            "line",
            "device",
            "wire",
            "pacemaker",
            "drainage",
            "stent",
            "hardware",
        ),
        *("Support Devices", "calcification", "scar", "deformity", "aerate", "distention"),
    }
    others = {losers for name, losers in relations.excludes.items() if name not in beside}
    assert others == {("normal", "No Finding")}
    assert relations.implies["nodule"] == ("lesion", "Nodule/Mass")
    assert relations.implies["pacemaker"] == ("device", "Support Devices")
    assert relations.implies["Rib fracture"] == ("fracture",)
    assert relations.unions == {"Nodule/Mass": ("nodule", "mass")}
    assert not any("opacity" in implied for implied in relations.implies.values())


@pytest.mark.parametrize("source", ["mimic_cxr", "chexpert"])
def test_support_devices_stand_beside_no_finding(shipped, source):
    excludes = shipped.relations(source).excludes
    assert excludes["Support Devices"] == () and "No Finding" in excludes["fracture"]


def test_a_sources_own_labels_exclude_its_normal(shipped):
    assert shipped.relations("vindr_cxr").excludes["calcification"] == ("normal", "No Finding")
    assert "normal" in shipped.relations("padchest").excludes["pacemaker"]
    assert shipped.relations("chestxray14").excludes["calcification"] == ()
