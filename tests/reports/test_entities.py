import pytest
import yaml

from unichest_kedro.errors import VocabularyError
from unichest_kedro.reports.entities import BESIDES, EntityExtractor, finding_terms, plural
from unichest_kedro.reports.rules import load_rules


@pytest.fixture(scope="module")
def extractor(vocabulary):
    return EntityExtractor(vocabulary.synonyms)


def sign_of(entity):
    """+ affirmed, - denied, ? doubted, ~ likely, h past, a asked for."""
    signs = {
        "-": entity.negated,
        "h": entity.historical,
        "a": entity.asked,
        "?": entity.uncertain,
        "~": entity.likely,
    }
    true = [sign for sign, holds in signs.items() if holds]
    assert len(true) <= 1
    return true[0] if true else "+"


def mentions(extractor, text):
    return [
        sign_of(entity) + (entity.finding or entity.statement)
        for sentence in extractor.read(text)
        for entity in sentence.entities
    ]


DENIED = [
    ("There is no pleural effusion or pneumothorax.", ["-pleural effusion", "-pneumothorax"]),
    ("No effusions, pneumothoraces, or masses.", ["-pleural effusion", "-pneumothorax", "-mass"]),
    ("No consolidation, large effusion, or mass.", ["-consolidation", "-pleural effusion", "-mass"]),
    ("Lungs without evidence of consolidation.", ["-consolidation"]),
    ("The lungs are free of consolidation.", ["-consolidation"]),
    ("Negative for pneumonia.", ["-pneumonia"]),
    ("Neither effusion nor edema is present.", ["-pleural effusion", "-edema"]),
    ("NO PLEURAL EFFUSION.", ["-pleural effusion"]),
    ("Pneumonia is unlikely.", ["-pneumonia"]),
    ("A nodule is not definitely identified.", ["-nodule"]),
    ("Pneumothorax: none.", ["-pneumothorax"]),
    ("No opacity to suggest pneumonia.", ["-opacity", "-pneumonia"]),
    ("Atelectasis rather than pneumonia.", ["+atelectasis", "-pneumonia"]),
    ("The heart is not enlarged.", ["-cardiomegaly"]),
    ("No new focal consolidation.", ["-consolidation"]),
    ("Absence of pneumothorax.", ["-pneumothorax"]),
    ("No displaced rib fracture.", ["-Rib fracture"]),
]
ENDS_OF_DENIAL = [
    ("No pneumothorax, stable cardiomegaly.", ["-pneumothorax", "+cardiomegaly"]),
    ("No pneumothorax and mild bibasilar atelectasis.", ["-pneumothorax", "+atelectasis"]),
    ("No effusion, but there is a mass.", ["-pleural effusion", "+mass"]),
    ("No pneumonia; small left effusion.", ["-pneumonia", "+pleural effusion"]),
    ("No effusion, and the heart is enlarged.", ["-pleural effusion", "+cardiomegaly"]),
    ("No effusion. Edema.", ["-pleural effusion", "+edema"]),
    ("No pneumothorax status post PICC line placement.", ["-pneumothorax", "+line"]),
    ("Low lung volumes with no effusion.", ["+aerate", "-pleural effusion"]),
    ("Small right effusion, left effusion not seen.", ["+pleural effusion", "-pleural effusion"]),
    ("Emphysema without superimposed pneumonia.", ["+emphysema", "-pneumonia"]),
    ("No definite mass, although atelectasis is present.", ["-mass", "+atelectasis"]),
]
DOUBTED = [
    ("Pneumonia cannot be excluded.", ["?pneumonia"]),
    ("Cannot exclude a small pleural effusion.", ["?pleural effusion"]),
    ("An underlying consolidation is not excluded.", ["?consolidation"]),
    ("A tiny effusion is difficult to exclude.", ["?pleural effusion"]),
    ("Possible atelectasis.", ["?atelectasis"]),
    ("Atelectasis is possible.", ["?atelectasis"]),
    ("Opacity may represent pneumonia.", ["+opacity", "?pneumonia"]),
    ("Markings, which could reflect edema.", ["+marking", "?edema"]),
    ("Markings, which can be seen with pneumonia or edema.", ["+marking", "?pneumonia", "?edema"]),
    ("A nodule can be seen at the base.", ["+nodule"]),
    ("Opacity worrisome for pneumonia.", ["+opacity", "?pneumonia"]),
    ("There is concern for developing pneumonia.", ["?pneumonia"]),
    ("Findings suggest mild edema.", ["?edema"]),
    ("In the right clinical setting, this is pneumonia.", ["?pneumonia"]),
    ("The differential includes pneumonia, atelectasis, and mass.", ["?pneumonia", "?atelectasis", "?mass"]),
    ("?pneumonia", ["?pneumonia"]),
    ("Pneumonia?", ["?pneumonia"]),
    ("Opacity; atelectasis could have this appearance.", ["+opacity", "?atelectasis"]),
    ("A superimposed infection is not excluded.", ["?pneumonia"]),
    ("Possible mass, no effusion.", ["?mass", "-pleural effusion"]),
    ("Minimal, if any, effusion.", ["?pleural effusion"]),
    ("This may be compatible with atelectasis.", ["?atelectasis"]),
]
LIKELY = [
    ("Likely atelectasis.", ["~atelectasis"]),
    ("Probable small effusions.", ["~pleural effusion"]),
    ("Infiltrate versus atelectasis.", ["~infiltration", "~atelectasis"]),
    ("Atelectasis/infiltrate.", ["~atelectasis", "~infiltration"]),
    ("Cardiomegaly with infiltrate vs atelectasis.", ["+cardiomegaly", "~infiltration", "~atelectasis"]),
    ("Opacity may represent infiltrate versus atelectasis.", ["+opacity", "?infiltration", "?atelectasis"]),
    ("Opacity, likely atelectasis, and small effusion.", ["+opacity", "~atelectasis", "+pleural effusion"]),
    ("Findings are consistent with pulmonary edema.", ["+edema"]),
]
CHANGED = [
    ("The pneumothorax has resolved.", ["-pneumothorax"]),
    ("The pneumothorax has not resolved.", ["+pneumothorax"]),
    ("Interval resolution of pulmonary edema.", ["-edema"]),
    ("Near complete resolution of the effusion.", ["+pleural effusion"]),
    ("Pneumothorax is no longer seen.", ["-pneumothorax"]),
    ("The effusion seen before has cleared.", ["-pleural effusion"]),
    ("The chest tube has been removed.", ["-tube"]),
    ("No change in the right pleural effusion.", ["+pleural effusion"]),
    ("No significant interval change in effusion.", ["+pleural effusion"]),
    ("No change nodule.", ["+nodule"]),
    ("Improved edema, decreased effusion.", ["+edema", "+pleural effusion"]),
    ("Resolving pneumonia.", ["+pneumonia"]),
    ("The nodule is not well seen today.", ["+nodule"]),
]
NOT_OF_THIS_FILM = [
    ("History of pneumonia.", ["hpneumonia"]),
    ("History of COPD, now with right effusion.", ["hCOPD", "+pleural effusion"]),
    ("Prior pneumonia.", ["hpneumonia"]),
    ("Old rib fractures.", ["+Rib fracture"]),
    ("Recommend CT to exclude a nodule.", ["anodule"]),
    ("Exclude pneumonia.", ["apneumonia"]),
    ("Nodule, recommend CT.", ["+nodule"]),
    ("If there is suspicion of pneumonia, a lateral view may help.", ["apneumonia"]),
    ("Evaluation for effusion is limited.", ["apleural effusion"]),
    ("Evaluate for pneumothorax.", ["apneumothorax"]),
    ("A shadow of the rib could hide a nodule.", ["anodule"]),
]
OTHER_THINGS = [
    ("Left inguinal hernia.", []),
    ("Small hiatal hernia.", ["+hernia"]),
    ("Subcutaneous emphysema of the neck.", []),
    ("Bullous emphysema.", ["+emphysema"]),
    ("No mass effect.", []),
    ("Body mass index is high.", []),
    ("Left breast mass.", []),
    ("Pericardial effusion.", []),
    ("Cystic fibrosis.", []),
    ("Pedal edema.", []),
    ("Collapse of a vertebra.", []),
    ("Bone density is low.", []),
    ("Nodular opacity.", ["+opacity"]),
    ("Calcified granuloma.", ["+calcification"]),
    ("Calcified nodule.", ["+calcification", "+nodule"]),
    ("Vascular congestion.", ["+engorgement"]),
    ("Airspace disease.", ["+opacity"]),
    ("Hydropneumothorax.", ["+pleural effusion", "+pneumothorax"]),
    ("Right lower lobe pnuemonia and efffusion.", ["+pneumonia", "+pleural effusion"]),
    ("The heart appears mildly enlarged.", ["+cardiomegaly"]),
    ("Borderline heart size.", ["+cardiomegaly"]),
    ("The aorta is enlarged.", ["+Aortic enlargement"]),
]
NORMAL = [
    ("The lungs are clear.", ["+normal"]),
    ("Heart size at the upper limits of normal.", ["+normal"]),
    ("The lungs are clear of effusion.", ["+normal", "-pleural effusion"]),
    ("The heart is within normal limits.", ["+normal"]),
    ("The heart is mildly enlarged, the lungs are clear.", ["+cardiomegaly", "+normal"]),
    ("No acute cardiopulmonary process.", ["+No Finding"]),
    ("No acute disease or pneumothorax.", ["+No Finding", "-pneumothorax"]),
    ("Normal chest.", ["+normal"]),
    ("The heart is not normal.", ["+normal"]),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    DENIED + ENDS_OF_DENIAL + DOUBTED + LIKELY + CHANGED + NOT_OF_THIS_FILM + OTHER_THINGS + NORMAL[:-1],
)
def test_what_is_said_of_each_finding(extractor, text, expected):
    assert mentions(extractor, text) == expected


def test_words_about_two_parts_make_two_statements_and_one_entity(extractor):
    (sentence,) = extractor.read("Heart and mediastinum are normal.")
    said = [(entity.finding, entity.statement) for entity in sentence.entities]
    assert said[0] == ("normal", "heart")
    (sentence,) = extractor.read("The cardiomediastinal silhouette is normal.")
    assert sorted(entity.statement for entity in sentence.entities) == ["heart", "mediastinum"]
    assert sorted(entity.finding for entity in sentence.entities) == ["", "normal"]


def test_one_lung_says_nothing_of_the_other(extractor):
    (sentence,) = extractor.read("The right lung is clear.")
    assert sentence.entities == ()


def test_a_denied_norm_is_no_statement_of_normality(extractor):
    assert not any(entity.statement for one in extractor.read("The heart is not normal.") for entity in one.entities)


def test_removed_words_do_not_part_what_belongs_together(extractor):
    from unichest_kedro.reports.sections import clean_text

    assert mentions(extractor, clean_text("No XXXX pleural XXXX effusion. ___ pneumonia.")) == [
        "-pleural effusion",
        "+pneumonia",
    ]


def test_in_plain_lists_everything_after_no_is_denied(extractor):
    findings = ["effusion", "pneumothorax", "edema", "mass", "pneumonia"]
    for first in findings:
        for second in findings:
            denied = mentions(extractor, f"No {first} or {second}.")
            affirmed = mentions(extractor, f"Bilateral {first} and {second}.")
            assert [sign[0] for sign in denied] == ["-", "-"]
            assert [sign[0] for sign in affirmed] == ["+", "+"]
            assert [sign[1:] for sign in denied] == [sign[1:] for sign in affirmed]


def test_places_and_words_are_those_of_the_sentence(extractor):
    (sentence,) = extractor.read("The heart is not significantly enlarged, nor is there an Effusion.")
    heart, effusion = sentence.entities
    assert sentence.text[heart.start : heart.end] == "heart is not significantly enlarged"
    assert heart.text == "heart is significantly enlarged"
    assert sentence.text[effusion.start : effusion.end] == effusion.text == "Effusion"


def test_a_second_finding_of_the_same_words_is_marked(extractor):
    (sentence,) = extractor.read("Small hydropneumothorax.")
    assert [entity.statement for entity in sentence.entities] == ["", BESIDES]


def test_sentences_without_a_finding_are_kept(extractor):
    found = extractor.read("Big aorta.\nMass.\n12.")
    assert [(sentence.text, len(sentence.entities)) for sentence in found] == [("Big aorta.", 0), ("Mass.", 1)]
    assert extractor.read("") == []


def test_reading_again_and_in_another_order_gives_the_same(extractor):
    texts = ["No effusion.", "Mass. Possible edema.", "Lungs clear."] * 3
    assert list(extractor.extract(texts)) == [extractor.read(text) for text in texts]


def test_findings_outside_the_vocabulary_are_not_reported():
    extractor = EntityExtractor({"mass": ()})
    assert mentions(extractor, "Mass and effusion.") == ["+mass"]
    (sentence,) = extractor.read("The lungs are clear.")
    assert [(entity.finding, entity.statement) for entity in sentence.entities] == [("", "lungs")]


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


def test_rules_name_only_findings_of_the_vocabulary(vocabulary):
    rules = load_rules()
    named = {*rules.findings, *rules.passing}
    named |= {name for one in rules.normality.values() for name in one.denies}
    named |= {one.states for one in rules.normality.values() if one.states}
    named |= {name for names in rules.also_by_words.values() for name in names}
    assert named <= set(vocabulary.findings)


def test_own_rules_are_used(tmp_path):
    content = load_rules().model_dump()
    content["cues"]["denied"]["before"] = ["kein"]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(content))
    extractor = EntityExtractor({"mass": ()}, load_rules(path))
    assert mentions(extractor, "Kein mass. No mass.") == ["-mass", "+mass"]


def test_broken_rules_name_the_part(tmp_path):
    content = load_rules().model_dump()
    del content["cues"]["past"]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(VocabularyError, match=r"rules\.yml: cues\.past: Field required"):
        load_rules(path)
    with pytest.raises(VocabularyError, match=r"Cannot read the reading rules .*none\.yml"):
        load_rules(tmp_path / "none.yml")
    path.write_text("a: [")
    with pytest.raises(VocabularyError, match="Cannot read the reading rules"):
        load_rules(path)
