import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from unichest_kedro.evaluation.example_figure import example_figure
from unichest_kedro.evaluation.examples import KINDS, PICTURE_PIXELS, in_words, pick_examples, with_pictures

from .conftest import MODELS
from .looking import draws, texts
from .report_tables import make_thresholds


@pytest.fixture
def answers(scores):
    return scores[scores["model"] == MODELS[0]].rename(columns={"source": "benchmark"}).assign(source="s")


@pytest.fixture
def thresholds(scores):
    return make_thresholds(scores)


def truth_of(examples, answers):
    keys = ["benchmark", "image_id", "finding"]
    return examples.merge(answers[[*keys, "label", "score"]], on=keys, suffixes=("", "_given"))


def test_kinds_are_told_by_threshold_and_label(answers, thresholds):
    examples = pick_examples(answers, thresholds, per_kind=3)
    counts = examples.groupby(["benchmark", "kind"]).size()
    assert len(counts) == 2 * len(KINDS) and counts.between(2, 3).all() and (counts == 3).sum() >= 6
    known = truth_of(examples, answers)
    assert (known["score"] == known["score_given"]).all()
    called, present = known["score"] >= known["threshold"], known["label"] == 1
    assert ((called & present) == (known["kind"] == "true positive")).all()
    assert ((called & ~present) == (known["kind"] == "false positive")).all()
    assert ((~called & present) == (known["kind"] == "false negative")).all()
    # The finding that has no threshold has no example, and unknown labels are none.
    assert "edema" not in set(examples["finding"]) and known["label"].isin((0, 1)).all()


def test_the_draw_hangs_on_the_seed_alone_and_shows_a_film_once(answers, thresholds):
    examples = pick_examples(answers, thresholds, per_kind=3, seed=5)
    pd.testing.assert_frame_equal(examples, pick_examples(answers, thresholds, per_kind=3, seed=5))
    alone = pick_examples(answers[answers["benchmark"] == "vindr_cxr"], thresholds, per_kind=3, seed=5)
    both = examples[examples["benchmark"] == "vindr_cxr"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, both)
    assert not examples.equals(pick_examples(answers, thresholds, per_kind=3, seed=6))
    assert not examples.duplicated(["benchmark", "image_id"]).any()
    # Two findings of MIMIC-CXR have a threshold: both are shown before one is shown again.
    first = examples[examples["benchmark"] == "mimic_cxr"].groupby("kind").head(2)
    assert (first.groupby("kind")["finding"].nunique() == 2).all()


def test_kinds_that_do_not_occur_are_missing(answers, thresholds):
    sure = answers.assign(score=answers["label"].clip(lower=0).astype(float))
    assert set(pick_examples(sure, thresholds)["kind"]) == {"true positive", "true negative"}
    assert pick_examples(answers.assign(label=-1), thresholds).empty
    assert pick_examples(answers, thresholds, per_kind=0).empty


def test_pictures_are_small_and_the_map_lies_over_the_film(answers, thresholds):
    examples = pick_examples(answers, thresholds)
    films = [np.full((900, 600), 100, np.uint8)] * len(examples)
    corner = np.zeros((4, 4))
    corner[0, 0] = 1
    kept = with_pictures(examples, films, [corner] * len(examples))
    film, heat = (Image.open(io.BytesIO(kept[name].iloc[0])) for name in ("film", "heat"))
    assert film.size == heat.size == (PICTURE_PIXELS * 2 // 3, PICTURE_PIXELS)
    film, heat = np.asarray(film).astype(int), np.asarray(heat).astype(int)
    assert film.ndim == 2 and abs(film - 100).max() <= 2
    red, _, blue = heat[5, 5]
    assert red > blue + 30 and abs(heat[-5, -5] - 100).max() < 12


def test_the_figure_shows_the_first_of_each_kind(answers, thresholds):
    examples = pick_examples(answers, thresholds, per_kind=2)
    none = examples[(examples["benchmark"] != "vindr_cxr") | (examples["kind"] != "false negative")]
    none = none.reset_index(drop=True)
    films = [np.full((8, 8), 100, np.uint8)] * len(none)
    figure, numbers = example_figure(with_pictures(none, films, [np.eye(2)] * len(none)), {"mimic_cxr": "MIMIC"})
    assert draws(figure)
    assert "MIMIC" in texts(figure) and "no false negative" in texts(figure)
    assert len(numbers) == len(none) and "film" not in numbers
    nothing = with_pictures(examples.iloc[:0], [], [])
    assert "No answer could be told" in texts(example_figure(nothing, {}).figure)


def test_in_words():
    example = {"kind": "false positive", "score": 0.83, "threshold": 0.41}
    assert in_words(example) == "Score 0.830, threshold 0.410: called present; labelled absent."
    example = {"kind": "false negative", "score": 0.13, "threshold": 0.41}
    assert in_words(example) == "Score 0.130, threshold 0.410: not called; labelled present."
