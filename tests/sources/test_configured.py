"""The `sources:` of globals.yml: folders, options, and a user's own."""

import pytest

from unichest_kedro.errors import SettingsError, VocabularyError
from unichest_kedro.sources import SOURCES, OwnOptions, SourceEntry, check_source_keys, source_entry, with_own_sources
from unichest_kedro.sources.mimic_cxr import MimicOptions

VOCABULARY = {
    "findings": [{"name": "edema", "prompt": "edema"}, {"name": "No Finding", "prompt": "no finding"}],
    "sources": {"chexpert": {"labels": {}}},
}


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "films.csv").write_text("file,wet\na.png,1\n")
    return {
        "root": str(tmp_path),
        "table": "films.csv",
        "columns": {"path": "file"},
        "labels": {"wet": "edema"},
    }


def test_a_folder_alone_and_a_mapping_with_a_root_are_the_same(tmp_path):
    entry = SourceEntry(tmp_path)
    assert check_source_keys({"vindr_cxr": tmp_path, "chexpert": {"root": str(tmp_path)}}) == {
        "chexpert": entry,
        "vindr_cxr": entry,
    }
    assert check_source_keys(None) == {}


def test_entries_come_in_the_projects_order(tmp_path, mine):
    given = {"zoo": mine, "padchest": tmp_path, "alpha": mine, "mimic_cxr": tmp_path}
    assert list(check_source_keys(given)) == ["mimic_cxr", "padchest", "zoo", "alpha"]


def test_options_are_validated(tmp_path, mine):
    reports = tmp_path / "reports"
    reports.mkdir()
    entry = source_entry("mimic_cxr", {"root": tmp_path, "reports": str(reports), "labels": "negbio"})
    assert entry.options == MimicOptions(reports=reports, labels="negbio")
    own = source_entry("my_hospital", mine).options
    assert isinstance(own, OwnOptions)
    assert own.labels == {"wet": ("edema",)}


def test_the_origin_is_the_folder_until_an_option_is_said(tmp_path, mine):
    plain, same = (
        source_entry("mimic_cxr", tmp_path),
        source_entry("mimic_cxr", {"root": tmp_path, "labels": "chexpert"}),
    )
    other = source_entry("mimic_cxr", {"root": tmp_path, "labels": "negbio"})
    assert plain.origin == same.origin == str(tmp_path)
    assert other.origin.startswith(f"{tmp_path} (options ")
    changed = {**mine, "labels": {"wet": "No Finding"}}
    assert source_entry("mine", mine).origin != source_entry("mine", changed).origin


@pytest.mark.parametrize("value", ["/some/where", {"root": "/some/where"}, None])
def test_unknown_key_lists_the_known_ones_and_says_how_an_own_source_is_written(value):
    with pytest.raises(SettingsError, match=r"unknown source 'chexprt'.*docs/own_source\.md") as error:
        check_source_keys({"chexprt": value})
    assert all(key in str(error.value) for key in SOURCES)


@pytest.mark.parametrize("key", ["My_Hospital", "1st", "my-hospital", "", 3])
def test_own_keys_are_plain_words(key, mine):
    with pytest.raises(SettingsError, match="cannot be the key of a source"):
        check_source_keys({key: mine})


def test_own_keys_are_no_beginnings_of_other_names(mine):
    with pytest.raises(SettingsError, match=r"'text_films' .* begin with 'text'. Take another, such as my_text_films"):
        check_source_keys({"text_films": mine})


def test_keys_whose_artefacts_would_be_named_alike(mine):
    with pytest.raises(SettingsError, match=r"'mine' and 'mine_report' cannot stand side by side"):
        check_source_keys({"mine_report": mine, "mine": mine})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "sources.mimic_cxr: 3 is not a path"),
        (None, "sources.mimic_cxr: None is not a path"),
        ("  ", "is not a path"),
        ("nowhere/at/all", "nowhere/at/all does not exist"),
        (__file__, "is a file, not a folder"),
        ({"labels": "negbio"}, "sources.mimic_cxr.root: None is not a path"),
    ],
)
def test_values_that_are_no_folder(value, words):
    with pytest.raises(SettingsError, match=words):
        check_source_keys({"mimic_cxr": value})


@pytest.mark.parametrize(
    ("key", "options", "words"),
    [
        ("chexpert", {"reports": "/x"}, r"sources.chexpert.reports: unknown key. Allowed here: root."),
        ("mimic_cxr", {"report": "/x"}, r"sources.mimic_cxr.report: unknown key. Allowed here: root, reports, labels."),
        ("mimic_cxr", {"labels": "radgraph"}, r"sources.mimic_cxr.labels: 'radgraph' is not allowed: .*negbio"),
        ("mimic_cxr", {"reports": "/no/such"}, r"sources.mimic_cxr.reports: '/no/such' .* no such folder"),
    ],
)
def test_wrong_options_of_known_sources(tmp_path, key, options, words):
    with pytest.raises(SettingsError, match=words):
        check_source_keys({key: {"root": tmp_path, **options}})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": {}}, r"sources.mine.columns.path: missing"),
        (
            {"columns": {"path": "file", "patients": "p"}},
            r"columns.patients: unknown key. Allowed here: path, patient,",
        ),
        ({"collumns": {}}, r"sources.mine.collumns: unknown key. Allowed here: root, table, columns,"),
        ({"labels": {}}, r"sources.mine: there is no label: give `labels`"),
        ({"labels": {"wet": None}}, r"sources.mine.labels.wet: nothing is said. Give a value \(\[\]"),
        ({"labels": {True: "edema"}}, r"sources.mine.labels.*true or false; write it in quotes"),
        ({"splits": {"a": "training"}, "columns": {"path": "f", "split": "s"}}, r"splits.a: 'training' is not allowed"),
        ({"splits": {"a": "train"}}, r"`splits` translates .* `columns` names no split"),
        ({"views": {"PA": "frontal"}}, r"`views` translates .* `columns` names no view"),
        ({"view": "frontal", "columns": {"path": "f", "view": "v"}}, r"keep one"),
        ({"no_finding_label": "fine"}, r"no_finding_label names 'fine', which is no label of this source"),
        ({"no_finding_exhaustive": True}, r"no_finding_label is empty"),
        ({"report_labels": "fill"}, r"`columns` names no report"),
        ({"label_list": {"column": "c", "labels": {"wet": "edema"}}}, r"'wet' is in `labels` and in `label_list`"),
        ({"uncertain": "maybe"}, r"sources.mine.uncertain: 'maybe' is not allowed"),
        (
            {
                "boxes": {
                    "table": "b.csv",
                    "columns": {"label": "l", "x_min": "a", "y_min": "b", "x_max": "c", "y_max": "d"},
                }
            },
            r"boxes.columns: .*one of the two",
        ),
        ({"table": "filmz.csv"}, r"sources.mine.table: there is no file .*filmz.csv"),
    ],
)
def test_wrong_descriptions_of_own_sources(mine, changes, words):
    with pytest.raises(SettingsError, match=words):
        check_source_keys({"mine": {**mine, **changes}})


def test_numbers_as_keys_are_what_stands_in_the_table(mine):
    columns = {"path": "file", "split": "part"}
    options = source_entry("mine", {**mine, "columns": columns, "splits": {0: "train", 1: "test"}}).options
    assert options.splits == {"0": "train", "1": "test"}


def test_not_a_mapping():
    with pytest.raises(SettingsError, match="is not a mapping"):
        check_source_keys("chexpert")


def test_the_vocabulary_gets_the_rules_of_own_sources_and_stays_as_it_was(tmp_path, mine):
    before = {**VOCABULARY, "sources": dict(VOCABULARY["sources"])}
    done = with_own_sources(VOCABULARY, {"chexpert": str(tmp_path), "mine": {**mine, "not_mentioned": "absent"}})
    assert before == VOCABULARY
    assert list(done["sources"]) == ["chexpert", "mine"]
    rules = done["sources"]["mine"]
    assert (rules["own"], rules["labels"], rules["not_mentioned"]) == (True, {"wet": ["edema"]}, "absent")
    assert with_own_sources(VOCABULARY, None) == with_own_sources(VOCABULARY, {"chexpert": "/x"}) == VOCABULARY


def test_a_finding_that_the_vocabulary_does_not_have(mine):
    with pytest.raises(
        VocabularyError, match=r"sources.mine: the label 'wet' names the finding 'Edemas'.* Is it 'edema'"
    ):
        with_own_sources(VOCABULARY, {"mine": {**mine, "labels": {"wet": "Edemas"}}})
    with pytest.raises(VocabularyError, match=r"uncertain_overrides names the finding 'oedema'"):
        with_own_sources(VOCABULARY, {"mine": {**mine, "uncertain_overrides": {"oedema": "present"}}})


def test_rules_in_two_places(mine):
    vocabulary = {**VOCABULARY, "sources": {"mine": {}}}
    with pytest.raises(VocabularyError, match=r"'mine' has rules in the vocabulary file and in globals\.yml"):
        with_own_sources(vocabulary, {"mine": mine})
