import pytest

from unichest_kedro.errors import VocabularyError
from unichest_kedro.reports.entities import EntityExtractor, finding_terms, load_negation_terms, plural

SYNONYMS = {
    "normal": ("unremarkable", "clear"),
    "pleural effusion": ("effusion", "pleural fluid"),
    "opacity": ("airspace disease",),
    "pneumothorax": (),
    "edema": ("pulmonary edema",),
    "atelectasis": (),
    "tube": ("chest tube",),
    "consolidation": (),
    "pneumonia": (),
    "line": ("PICC line",),
    "cardiomegaly": ("enlarged heart",),
    "mass": (),
    "infiltration": ("infiltrate",),
    "fibrosis": ("pulmonary fibrosis",),
    "Pulmonary fibrosis": (),
    "No Finding": ("no acute cardiopulmonary process",),
}


@pytest.fixture(scope="module")
def extractor():
    return EntityExtractor(SYNONYMS)


def mentions(extractor, text):
    """Write every entity as +finding, -finding or ?finding."""
    (sentences,) = extractor.extract([text], progress=False)
    return [
        ("-" if entity.negated else "?" if entity.uncertain else "+") + entity.finding
        for sentence in sentences
        for entity in sentence.entities
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("There is no pleural effusion or pneumothorax.", ["-pleural effusion", "-pneumothorax"]),
        ("No effusions, pneumothoraces, or masses.", ["-pleural effusion", "-pneumothorax", "-mass"]),
        ("Lungs without evidence of consolidation.", ["-consolidation"]),
        ("The lungs are free of consolidation.", ["-consolidation"]),
        ("Negative for pneumonia.", ["-pneumonia"]),
        ("Neither effusion nor edema is present.", ["-pleural effusion", "-edema"]),
        ("The heart is unremarkable.", ["+normal"]),
        ("No pneumothorax, the lungs are clear.", ["-pneumothorax", "+normal"]),
        ("Pneumonia cannot be excluded.", ["?pneumonia"]),
        ("Cannot exclude a small pleural effusion.", ["?pleural effusion"]),
        ("An underlying consolidation is not excluded.", ["?consolidation"]),
        ("Possible atelectasis.", ["?atelectasis"]),
        ("Opacity may represent pneumonia.", ["+opacity", "?pneumonia"]),
        (
            "Opacity may represent infiltrate versus atelectasis.",
            ["+opacity", "?infiltration", "?atelectasis"],
        ),
        (
            "Cardiomegaly with infiltrate versus atelectasis.",
            ["+cardiomegaly", "?infiltration", "?atelectasis"],
        ),
        ("The pneumothorax has resolved.", ["-pneumothorax"]),
        ("The pneumothorax has not resolved.", ["+pneumothorax"]),
        ("Interval resolution of pulmonary edema.", ["-edema"]),
        ("Pneumothorax is no longer seen.", ["-pneumothorax"]),
        ("The chest tube has been removed.", ["-tube"]),
        ("No change in the right pleural effusion.", ["+pleural effusion"]),
        ("No significant interval change in effusion.", ["+pleural effusion"]),
        ("No effusion, but there is a mass.", ["-pleural effusion", "+mass"]),
        ("No pneumothorax status post PICC line placement.", ["-pneumothorax", "+line"]),
        ("No opacity to suggest pneumonia.", ["-opacity", "-pneumonia"]),
        ("Pneumonia is unlikely.", ["-pneumonia"]),
        ("Possible mass, no effusion.", ["?mass", "-pleural effusion"]),
        ("No acute cardiopulmonary process.", ["+No Finding"]),
        ("Pulmonary fibrosis. Fibrosis.", ["+Pulmonary fibrosis", "+fibrosis"]),
        ("No effusion. Edema.", ["-pleural effusion", "+edema"]),
        ("NO PLEURAL EFFUSION.", ["-pleural effusion"]),
        ("The aorta is tortuous.", []),
    ],
)
def test_what_is_said_of_each_entity(extractor, text, expected):
    assert mentions(extractor, text) == expected


def test_sentences_keep_their_text_and_order(extractor):
    texts = ["Pleural\neffusion. Big aorta.", "", "Mass! 12 . Edema", "A" * 50]
    found = list(extractor.extract(iter(texts), batch_size=2, progress=False))
    assert [[sentence.text for sentence in sentences] for sentences in found] == [
        ["Pleural", "effusion.", "Big aorta."],
        [],
        ["Mass!", "Edema"],
        ["A" * 50],
    ]


def test_batches_do_not_change_the_result(extractor):
    texts = ["No effusion.", "Mass. Possible edema.", "Clear."] * 7
    whole = list(extractor.extract(texts, batch_size=100, progress=False))
    assert list(extractor.extract(texts, batch_size=4, progress=False)) == whole
    assert whole == [next(extractor.extract([text], progress=False)) for text in texts]


def test_slow_reading_of_negation_agrees(extractor):
    """In plain lists "no A, B or C" everything after the "no" is denied, everything else affirmed."""
    findings = ["effusion", "pneumothorax", "edema", "mass", "pneumonia"]
    for first in findings:
        for second in findings:
            denied = mentions(extractor, f"No {first} or {second}.")
            affirmed = mentions(extractor, f"Bilateral {first} and {second}.")
            assert [sign[0] for sign in denied] == ["-", "-"]
            assert [sign[0] for sign in affirmed] == ["+", "+"]
            assert [sign[1:] for sign in denied] == [sign[1:] for sign in affirmed]


def test_terms_belong_to_the_finding_of_that_name_then_to_the_first():
    terms = finding_terms({"a": ("b", "shared"), "b": ("shared", "  Two  Words ")})
    assert terms["b"] == "b"
    assert terms["shared"] == "a"
    assert terms["two words"] == "b"


@pytest.mark.parametrize(
    ("singular", "expected"),
    [
        ("pleural effusion", "pleural effusions"),
        ("opacity", "opacities"),
        ("pneumothorax", "pneumothoraces"),
        ("mass", "masses"),
        ("atelectasis", "atelectases"),
        ("lung x-ray", "lung x-rays"),
        ("devices", "devices"),
    ],
)
def test_plural(singular, expected):
    assert plural(singular) == expected


def test_no_findings_is_an_error():
    with pytest.raises(VocabularyError, match="names no finding"):
        EntityExtractor({})


def test_broken_terms_file_names_the_list(tmp_path):
    path = tmp_path / "terms.yml"
    path.write_text("negated: {preceding: ['no'], following: [], pseudo: []}\nuncertain: {}\n")
    with pytest.raises(VocabularyError, match=r"terms\.yml: negated\.termination"):
        load_negation_terms(path)
    with pytest.raises(VocabularyError, match=r"Cannot read the negation terms .*none\.yml"):
        load_negation_terms(tmp_path / "none.yml")


def test_own_terms_are_used(tmp_path):
    path = tmp_path / "terms.yml"
    empty = "preceding: [], following: [], pseudo: [], termination: []"
    path.write_text(f"negated: {{{empty}}}\nuncertain: {{{empty}}}\n".replace("[]", "[kein]", 1))
    extractor = EntityExtractor(SYNONYMS, load_negation_terms(path))
    assert mentions(extractor, "Kein mass. No mass.") == ["-mass", "+mass"]


def test_memory_does_not_grow_with_new_words(extractor):
    texts = (f"word{number} mass" for number in range(2000))
    assert sum(len(sentences) for sentences in extractor.extract(texts, progress=False)) == 2000
    assert "word1999" not in extractor._nlp.vocab.strings
