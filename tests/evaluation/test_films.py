import numpy as np

from unichest_kedro.evaluation.films import NOTHING_FOUND, pick_films


def read(source, image_id):
    return np.zeros((8, 8), np.uint8)


def test_films_are_drawn_by_seed_and_never_by_score(scores):
    of_one = scores[scores["model"] == "Conquer"]
    films = pick_films(of_one, read, per_source=4, seed=5)
    assert [film.source for film in films] == ["mimic_cxr"] * 4 + ["vindr_cxr"] * 4
    ids = [film.image_id for film in films]
    assert len(set(ids)) == 8
    other = pick_films(of_one.assign(score=1 - of_one["score"]), read, per_source=4, seed=5)
    assert ids == [film.image_id for film in other]
    for start in (0, 4):
        assert all(set(film.present) - set(NOTHING_FOUND) for film in films[start : start + 2])


def test_answers_are_the_highest_scores_with_what_the_labels_say(scores):
    of_one = scores[scores["model"] == "Conquer"]
    for film in pick_films(of_one, read, top=2):
        rows = of_one[of_one["image_id"] == film.image_id].set_index("finding")
        assert [a.probability for a in film.answers] == sorted(rows["score"], reverse=True)[:2]
        for answer in film.answers:
            assert answer.truth == {1: "present", 0: "absent", -1: "unknown"}[rows.loc[answer.finding, "label"]]
        assert set(film.present) == set(rows.index[rows["label"] == 1])


def test_a_source_with_few_films_and_no_finding(scores):
    few = scores[(scores["model"] == "Conquer") & scores["image_id"].isin(["vindr_cxr_000", "vindr_cxr_001"])]
    films = pick_films(few.assign(label=0), read, per_source=4)
    assert len(films) == 2
    assert films[0].present == ()
