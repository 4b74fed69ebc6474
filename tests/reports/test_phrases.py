import itertools

import numpy as np
import pytest

from unichest_kedro.errors import VocabularyError
from unichest_kedro.reports.phrases import PhraseMatcher, tokens_of, wordings


def found(phrases, text, **settings):
    tokens = tokens_of(text)
    matches = PhraseMatcher([(phrase, phrase) for phrase in phrases], **settings).find(tokens)
    return [(" ".join(tokens[match.start : match.end]), match.values) for match in matches]


def test_tokens_are_words_numbers_and_marks():
    assert tokens_of("Non-calcified 1.5 cm nodule/mass; the patient's (?) heart.") == [
        "non", "calcified", "1.5", "cm", "nodule", "/", "mass", ";", "the", "patient", "s", "(", "?", ")", "heart", ".",
    ]  # fmt: skip


def test_wordings_of_a_phrase():
    assert wordings("big|large heart") == [("big", "heart"), ("large", "heart")]
    assert wordings("big? heart") == [("big", "heart"), ("heart",)]
    assert wordings("left|right? lung") == [("left", "lung"), ("right", "lung"), ("lung",)]
    assert wordings("heart <2> big") == [("heart", 2, "big")]
    assert wordings("plate-like band") == [("plate", "like", "band")]
    assert wordings("?") == [("?",)]


def test_gaps_beside_a_missing_word_are_joined_or_dropped():
    assert wordings("heart <2> is? <1> big") == [("heart", 2, "is", 1, "big"), ("heart", 3, "big")]
    assert wordings("heart <2> big?") == [("heart", 2, "big"), ("heart",)]


def test_the_longest_phrase_wins_and_words_are_used_once():
    assert found(["effusion", "pericardial effusion"], "Pericardial effusion, effusion") == [
        ("pericardial effusion", ("pericardial effusion",)),
        ("effusion", ("effusion",)),
    ]


def test_gaps_hold_few_words_and_no_marks():
    phrases = ["heart <2> big"]
    assert found(phrases, "heart is very big") == [("heart is very big", ("heart <2> big",))]
    assert found(phrases, "heart is really very big") == []
    assert found(phrases, "heart, big") == []
    assert found(phrases, "heart not big", gap_stops=["not"]) == []
    assert found(phrases, "heart heart big") == [("heart heart big", ("heart <2> big",))]


def test_a_wording_of_two_phrases_has_both_values():
    assert found(["may <1> be", "may <2> be"], "may well be") == [("may well be", ("may <1> be", "may <2> be"))]
    assert found(["a|b c", "b c"], "b c") == [("b c", ("a|b c", "b c"))]


def test_taken_tokens_cannot_be_used():
    tokens = tokens_of("no effusion")
    matcher = PhraseMatcher([("no", 1), ("no effusion", 2)])
    assert [match.values for match in matcher.find(tokens)] == [(2,)]
    assert matcher.find(tokens, [True, False]) == []
    assert matcher.find(tokens, [False, True]) == []


@pytest.mark.parametrize("phrase", ["", "a?", "<3>", "a? b?"])
def test_a_phrase_without_words_is_an_error(phrase):
    with pytest.raises(VocabularyError, match="Phrase"):
        PhraseMatcher([(phrase, 1)])


def test_too_many_wordings_are_an_error():
    with pytest.raises(VocabularyError, match="has 4096 wordings; allowed are 1 to 2000"):
        wordings(" ".join(["a|b|c|d"] * 6))


def slow_end(path, tokens, start, stops):
    """Where a token path that begins at `start` ends, trying every length of every gap, short ones first."""
    widths = [range(part + 1) if isinstance(part, int) else (None,) for part in path]
    for chosen in itertools.product(*widths):
        place, fits = start, True
        for part, width in zip(path, chosen, strict=True):
            if width is None:
                fits = fits and place < len(tokens) and tokens[place] == part
                place += 1
            else:
                fits = fits and not any(token in stops for token in tokens[place : place + width])
                place += width
        if fits and place <= len(tokens):
            return place
    return None


def test_matches_agree_with_a_slow_search():
    rng = np.random.default_rng(3)
    phrases = ["a b", "a <2> c", "b|c d?", "d <1> a", "c"]
    matcher = PhraseMatcher([(phrase, phrase) for phrase in phrases], ["e"])
    paths = [path for phrase in phrases for path in wordings(phrase)]
    for _ in range(300):
        tokens = list(rng.choice(list("abcde,"), size=8))
        for start in range(len(tokens)):
            ends = [slow_end(path, tokens, start, {"e", ","}) for path in paths]
            longest = max((end for end in ends if end is not None), default=None)
            match = matcher.at(tokens, start)
            assert (match.end if match else None) == longest, (tokens, start)
