import pytest

from unichest_kedro.reports.sentences import LONGEST, split_sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Big aorta. Old ribs!\nMass? Edema", ["Big aorta.", "Old ribs!", "Mass?", "Edema"]),
        ("A nodule of 1.5 cm is new.", ["A nodule of 1.5 cm is new."]),
        ("Seen by Dr. Who. Mass vs. scar.", ["Seen by Dr. Who.", "Mass vs. scar."]),
        ("No mass is seen.No edema.", ["No mass is seen.", "No edema."]),
        ("Aorta looks stable The lungs are clear", ["Aorta looks stable", "The lungs are clear"]),
        ("? edema", ["? edema"]),
        ("Mass! 12 . Edema", ["Mass!", "Edema"]),
        ("Scar... Edema", ["Scar...", "Edema"]),
        ("", []),
        ("12. 34.", []),
    ],
)
def test_sentences(text, expected):
    assert list(split_sentences(text)) == expected


def test_endless_sentences_are_cut_between_words():
    sentences = list(split_sentences("no effusion " * 1000))
    assert max(map(len, sentences)) <= LONGEST
    assert " ".join(sentences) == ("no effusion " * 1000).strip()
    assert list(split_sentences("a" * 5000)) == ["a" * 2000, "a" * 2000, "a" * 1000]


def test_nothing_but_blanks_is_lost():
    text = "Left. The right lung is clear.No effusion? Yes\nMass"
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
