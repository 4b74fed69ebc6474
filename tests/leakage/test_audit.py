import numpy as np
import pandas as pd
import pytest

from unichest_kedro.errors import MissingArtefact
from unichest_kedro.leakage import LeakageSettings, audit
from unichest_kedro.leakage.confirm import edge_correlation
from unichest_kedro.leakage.hashing import from_text
from unichest_kedro.schemas import LeakagePairs, LeakageSummary, LeakedFilms

from .conftest import film, resized

SETTINGS = LeakageSettings(n_jobs=1)


def checked(sources, settings=SETTINGS):
    result = audit(sources, settings)
    LeakagePairs.validate(result.pairs)
    LeakedFilms.validate(result.leaked)
    LeakageSummary.validate(result.summary)
    return result


def between(summary, a, b):
    return summary.set_index(["source_a", "source_b"]).loc[(a, b)]


@pytest.fixture
def sources(hashed):
    """Two sources that share two films, one of them as a negative at another size; one patient with two films."""
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 4
    nih = [(f"n{k}.png", f"p{k}", split, film(k)) for k, split in enumerate(splits)]
    siim = [(f"s{k}", f"s{k}", "test", film(100 + k)) for k in range(5)]
    siim += [
        ("copy", "copy", "test", film(2)),
        ("negative", "negative", "test", 255 - resized(resized(film(3), 150), 96)),
    ]
    siim += [("of_test", "of_test", "test", film(9))]
    return {"chestxray14": hashed("chestxray14", nih), "siim_acr": hashed("siim_acr", siim)}


def test_copies_across_sources_are_found_and_named(sources):
    found = checked(sources)
    rows = found.pairs.set_index("image_b")
    assert sorted(rows.index) == ["copy", "negative", "of_test"]
    assert rows.loc["copy", ["source_a", "image_a", "split_a", "kind", "distance"]].tolist() == [
        "chestxray14", "n2.png", "train", "same pixels", 0,
    ]  # fmt: skip
    assert rows.loc["negative", ["image_a", "kind"]].tolist() == ["n3.png", "negative"]
    assert rows.loc["of_test", "split_a"] == "test"
    assert rows["correlation"].min() > 0.95


def test_only_films_that_repeat_a_training_film_are_leaked(sources):
    leaked = checked(sources).leaked
    assert leaked.to_numpy().tolist() == [
        ["siim_acr", "copy", "test", "chestxray14", "same pixels of the training film chestxray14/n2.png"],
        ["siim_acr", "negative", "test", "chestxray14", "negative of the training film chestxray14/n3.png"],
    ]


def test_summary_counts_pairs_and_tells_what_is_known(sources):
    summary = checked(sources).summary
    assert summary[["source_a", "source_b"]].to_numpy().tolist() == [
        ["chestxray14", "chestxray14"], ["chestxray14", "siim_acr"], ["siim_acr", "siim_acr"],
    ]  # fmt: skip
    both = between(summary, "chestxray14", "siim_acr")
    assert both[["same_pixels", "near_copies", "across_splits", "leaked_val", "leaked_test"]].tolist() == [
        2,
        1,
        2,
        0,
        2,
    ]
    assert "taken from ChestX-ray14" in both["known"]
    alone = between(summary, "chestxray14", "chestxray14")
    assert alone[["films", "not_comparable", "same_pixels", "patients_in_two_splits"]].tolist() == [12, 0, 0, 0]


def test_known_overlaps_are_told_where_no_film_is_found(hashed):
    parts = {
        name: hashed(name, [(f"{name}{k}", f"{k}", "test", film(10 * place + k)) for k in range(3)])
        for place, name in enumerate(("chestxray14", "siim_acr", "my_films"))
    }
    found = checked(parts)
    assert len(found.pairs) == len(found.leaked) == 0
    assert between(found.summary, "chestxray14", "siim_acr")["known"]
    assert between(found.summary, "chestxray14", "my_films")["known"]
    assert not between(found.summary, "siim_acr", "my_films")["known"]


def test_films_of_one_patient_in_one_split_are_no_leak(hashed):
    rows = [("a", "p", "train", film(1)), ("b", "p", "train", film(1)), ("c", "q", "train", film(1))]
    found = checked({"open_i": hashed("open_i", rows)})
    assert found.pairs[["image_a", "image_b"]].to_numpy().tolist() == [["a", "c"], ["b", "c"]]
    assert len(found.leaked) == 0
    assert between(found.summary, "open_i", "open_i")["across_splits"] == 0


def test_the_same_patient_number_in_two_sources_is_two_patients(hashed):
    rows = [("a", "1", "train", film(1))]
    found = checked({"open_i": hashed("open_i", rows), "shenzhen": hashed("shenzhen", rows)})
    assert len(found.pairs) == 1 and len(found.leaked) == 0


def test_a_patient_in_two_splits_is_counted_and_leaked(hashed):
    rows = [("a", "p", "train", film(1)), ("b", "p", "test", film(2)), ("c", "q", "val", film(3))]
    found = checked({"open_i": hashed("open_i", rows)})
    assert found.leaked.to_numpy().tolist() == [
        ["open_i", "b", "test", "open_i", "its patient has films in the training split"]
    ]
    assert between(found.summary, "open_i", "open_i")["patients_in_two_splits"] == 1


def test_validation_and_test_share_films_but_training_has_seen_none(hashed):
    rows = [("a", "p", "val", film(1)), ("b", "q", "test", film(1)), ("c", "r", "train", film(2))]
    found = checked({"open_i": hashed("open_i", rows)})
    assert found.pairs[["split_a", "split_b"]].to_numpy().tolist() == [["val", "test"]]
    assert len(found.leaked) == 0


def test_a_film_seen_in_two_sources_is_leaked_for_both_by_its_strongest_match(hashed):
    near = film(1).copy()
    near[:4, :4] = 0
    first = hashed("chestxray14", [("near", "p", "train", near), ("same", "q", "train", film(1))])
    second = hashed("open_i", [("o", "p", "train", near)])
    third = hashed("my_films", [("x", "x", "test", film(1))])
    leaked = checked({"chestxray14": first, "open_i": second, "my_films": third}).leaked
    assert leaked[["seen_in", "reason"]].to_numpy().tolist() == [
        ["chestxray14", "same pixels of the training film chestxray14/same"],
        ["open_i", "near copy of the training film open_i/o"],
    ]


def test_many_copies_of_one_film_give_few_pairs_and_every_leak(hashed):
    """A placeholder picture under many patients, once as another file."""
    other = film(1).copy()
    other[:3, :3] = 0
    rows = [(f"t{k}", f"t{k}", "train", film(1)) for k in range(40)]
    rows += [(f"e{k}", f"e{k}", "test", film(1)) for k in range(40)] + [("odd", "odd", "test", other)]
    found = checked({"open_i": hashed("open_i", rows)})
    assert len(found.pairs) < 6 * len(rows)
    assert set(found.leaked["image_id"]) == {f"e{k}" for k in range(40)} | {"odd"}
    assert not found.pairs.duplicated(["image_a", "image_b"]).any()


def test_flat_films_are_matched_by_their_pixels_only(hashed):
    black, dark = np.zeros((96, 96), np.uint8), np.full((96, 96), 3, np.uint8)
    rows = [("a", "a", "train", black), ("b", "b", "test", black), ("c", "c", "test", dark)]
    found = checked({"open_i": hashed("open_i", rows)})
    assert found.pairs[["image_a", "image_b", "kind"]].to_numpy().tolist() == [["a", "b", "same pixels"]]
    assert between(found.summary, "open_i", "open_i")["not_comparable"] == 3


def test_file_names_shared_with_an_own_source_are_counted(hashed):
    pictures = iter(range(1000))

    def part(source, paths):
        rows = [(f"{source}-{k}", f"{k}", "test", film(next(pictures))) for k in range(len(paths))]
        return hashed(source, rows, paths)

    found = checked(
        {
            "chexpert": part("chexpert", ["p1/view1_frontal.jpg", "p2/view1_frontal.jpg", "p3/x.jpg"]),
            "open_i": part("open_i", ["x.png", "CXR1_1.png"]),
            "mine": part("mine", ["all/view1_frontal.png", "CXR1_1.jpeg", "x.bmp"]),
        }
    )
    # A name that many films of a source have says nothing, and published sources are not compared by name.
    assert between(found.summary, "chexpert", "mine")[["shared_names", "shared_example"]].tolist() == [1, "x"]
    assert between(found.summary, "open_i", "mine")[["shared_names", "shared_example"]].tolist() == [2, "CXR1_1"]
    assert between(found.summary, "chexpert", "open_i")["shared_names"] == 0


def test_agrees_with_comparing_every_film_with_every_other(hashed):
    generator = np.random.default_rng(0)
    rows = {"chestxray14": [], "open_i": []}
    for k in range(60):
        picture = film(int(generator.integers(40)))
        if k % 3:
            crop = int(generator.integers(3))
            picture = resized(picture[crop:, : 96 - crop], 96)
        source = ("chestxray14", "open_i")[k % 2]
        split = ("train", "val", "test")[int(generator.integers(3))]
        rows[source].append((f"{k}", f"p{k // 4}", split, picture))
    parts = {source: hashed(source, some) for source, some in rows.items()}
    films = [
        (source, *row[:3], part.hashes["digest"][k], from_text(part.hashes["hash"][k : k + 1])[0])
        for source, part in parts.items()
        for k, row in enumerate(rows[source])
    ]
    thumbnails = np.concatenate([part.thumbnails for part in parts.values()])
    first, second = np.triu_indices(len(films), 1)
    agreement = edge_correlation(thumbnails[first], thumbnails[second])
    expected = set()
    for a, b, agrees in zip((films[i] for i in first), (films[j] for j in second), agreement >= 0.9):
        bits = int(np.bitwise_count(a[5] ^ b[5]).sum())
        one = a[4] == b[4] or (min(bits, 128 - bits) <= 15 and agrees)
        if one and not (a[0] == b[0] and a[2:4] == b[2:4]):
            expected.add(frozenset(((a[0], a[1]), (b[0], b[1]))))
    pairs = checked(parts).pairs
    found = {frozenset(((r.source_a, r.image_a), (r.source_b, r.image_b))) for r in pairs.itertuples()}
    assert len(expected) > 15 and (pairs["kind"] == "near copy").sum() > 10
    assert found <= expected
    # Of films with the same pixels one stands for all of its source and split, so that some pairs are left out.
    assert {film for pair in expected for film in pair} == {film for pair in found for film in pair}


def test_threads_and_thumbnails_on_disk_change_nothing(sources, tmp_path):
    again = {}
    for source, part in sources.items():
        np.save(tmp_path / f"{source}.npy", part.thumbnails)
        again[source] = part._replace(thumbnails=np.load(tmp_path / f"{source}.npy", mmap_mode="r"))
    one, two = checked(sources), checked(again, LeakageSettings(n_jobs=2))
    for a, b in zip(one, two):
        pd.testing.assert_frame_equal(a, b)


def test_a_stricter_correlation_finds_fewer(sources):
    assert len(checked(sources, LeakageSettings(n_jobs=1, min_correlation=1.0)).pairs) == 2


def test_tables_of_different_runs_are_refused(sources):
    part = sources["siim_acr"]
    with pytest.raises(MissingArtefact, match=r"siim_acr: 8 hashes and 7 thumbnails are not of the same films"):
        audit({"siim_acr": part._replace(thumbnails=part.thumbnails[1:])}, SETTINGS)
    fewer = part.studies[part.studies["image_id"] != "copy"]
    with pytest.raises(MissingArtefact, match="the hashed film copy is not in the studies table"):
        audit({"siim_acr": part._replace(studies=fewer)}, SETTINGS)
