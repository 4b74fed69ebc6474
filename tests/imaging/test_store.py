"""The image store: what is decoded when, what survives a kill, and that the pixels are the right ones."""

import os
import pickle
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from unichest_kedro.errors import MissingArtefact, SettingsError
from unichest_kedro.imaging import store as store_module
from unichest_kedro.imaging.decode import decode_image
from unichest_kedro.imaging.parts import OpenPart, StoredFilm, write_part
from unichest_kedro.imaging.resize import shorter_side
from unichest_kedro.imaging.store import ImageStore, ImagingSettings, update_image_store
from unichest_kedro.schemas import Quarantine

SETTINGS = ImagingSettings(image_size=32, n_jobs=1, part_size=4)


def write_film(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (40 + seed % 5, 36), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def studies_of(count):
    return pd.DataFrame(
        {
            "source": "vindr_cxr",
            "image_id": [f"film{number}" for number in range(count)],
            "path": [f"films/{number}.png" for number in range(count)],
            "view": "frontal",
        }
    )


@pytest.fixture
def root(tmp_path):
    for number in range(11):
        write_film(tmp_path / "raw" / "films" / f"{number}.png", number)
    return tmp_path / "raw"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files decoded so far."""
    names = []

    def counting(path):
        names.append(path.name)
        return decode_image(path)

    monkeypatch.setattr(store_module, "decode_image", counting)
    return names


def update(root, cache, studies=None, settings=SETTINGS):
    studies = studies_of(11) if studies is None else studies
    return update_image_store(studies, root, cache, settings, description="test")


def check_pixels(store, root, studies):
    paths = studies.set_index("image_id")["path"]
    for row, image_id in enumerate(store.image_ids):
        film = decode_image(root / paths[image_id])
        np.testing.assert_array_equal(store[row], shorter_side(film, store.image_size))
        assert tuple(store.original_size[row]) == film.shape


def test_pixels_order_and_sizes(root, cache):
    studies = studies_of(11).sample(frac=1, random_state=0)
    store, quarantine = update(root, cache, studies)
    assert list(store.image_ids) == list(studies["image_id"])
    assert len(store) == 11 and quarantine.empty
    assert Quarantine.validate(quarantine) is not None
    check_pixels(store, root, studies)
    assert len(list(iter(store))) == 11


def test_parallel_run_gives_the_same_store(root, cache, tmp_path):
    one, _ = update(root, cache)
    settings = ImagingSettings(image_size=32, n_jobs=2, part_size=3)
    two, _ = update(root, tmp_path / "other", settings=settings)
    assert list(one.image_ids) == list(two.image_ids)
    for first, second in zip(one, two):
        np.testing.assert_array_equal(first, second)


def test_ray_workers_give_the_same_store(root, cache, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    one, _ = update(root, cache)
    monkeypatch.chdir(tmp_path)
    settings = ImagingSettings(image_size=32, n_jobs=2, part_size=3, backend="ray")
    two, _ = update(root, Path("other"), settings=settings)
    assert list(one.image_ids) == list(two.image_ids)
    for first, second in zip(one, two):
        np.testing.assert_array_equal(first, second)


def test_ray_that_is_not_installed_is_one_sentence(root, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"imaging: this needs Ray, which is not installed.*\[ray\]"):
        update(root, cache, settings=ImagingSettings(image_size=32, backend="ray"))


def test_second_run_decodes_nothing(root, cache, decoded):
    first, _ = update(root, cache)
    assert len(decoded) == 11
    second, _ = update(root, cache)
    assert len(decoded) == 11
    pd.testing.assert_frame_equal(first.manifest, second.manifest)


def test_only_added_and_changed_films_are_decoded(root, cache, decoded):
    update(root, cache, studies_of(9))
    write_film(root / "films" / "3.png", 33)
    decoded.clear()
    store, _ = update(root, cache)
    assert sorted(decoded) == ["10.png", "3.png", "9.png"]
    check_pixels(store, root, studies_of(11))


def test_same_size_but_newer_file_is_decoded(root, cache, decoded):
    update(root, cache)
    decoded.clear()
    later = time.time_ns() + 1_000_000_000
    os.utime(root / "films" / "5.png", ns=(later, later))
    update(root, cache)
    assert decoded == ["5.png"]


def test_another_image_size_or_decoder_decodes_all(root, cache, decoded, monkeypatch):
    update(root, cache)
    decoded.clear()
    store, _ = update(root, cache, settings=SETTINGS.model_copy(update={"image_size": 48}))
    assert len(decoded) == 11 and min(store[0].shape) == 48
    monkeypatch.setattr(store_module, "DECODER_VERSION", 999)
    decoded.clear()
    update(root, cache)
    assert len(decoded) == 11


def test_films_no_longer_listed_leave_the_store(root, cache, decoded):
    update(root, cache)
    decoded.clear()
    store, _ = update(root, cache, studies_of(11).drop(index=[2, 7]))
    assert decoded == []
    assert "film2" not in store.image_ids and len(store) == 9


def test_only_the_wanted_views(root, cache, decoded):
    studies = studies_of(4).assign(view=["frontal", "lateral", "unknown", "frontal"])
    store, quarantine = update(root, cache, studies)
    assert list(store.image_ids) == ["film0", "film3"] and quarantine.empty
    both = ImagingSettings(image_size=32, views=("frontal", "lateral"), n_jobs=1)
    assert list(update(root, cache, studies, both)[0].image_ids) == ["film0", "film1", "film3"]
    assert sorted(decoded) == ["0.png", "1.png", "3.png"]


def test_unreadable_films_go_to_quarantine_and_the_run_goes_on(root, cache):
    (root / "films" / "2.png").write_bytes(b"")
    (root / "films" / "6.png").write_text("no film at all")
    (root / "films" / "8.png").unlink()
    store, quarantine = update(root, cache)
    Quarantine.validate(quarantine)
    assert len(store) == 8
    assert list(quarantine["image_id"]) == ["film2", "film6", "film8"]
    assert list(quarantine["path"]) == ["films/2.png", "films/6.png", "films/8.png"]
    assert list(quarantine["reason"]) == [
        "file is empty (0 bytes)",
        "not a DICOM, PNG or JPEG file (starts with 'no film at all')",
        "file cannot be read: No such file or directory",
    ]
    check_pixels(store, root, studies_of(11))
    write_film(root / "films" / "2.png", 2)
    assert "film2" in update(root, cache)[0].image_ids


def test_a_store_of_nothing(root, cache, tmp_path):
    for path in (root / "films").iterdir():
        path.write_bytes(b"")
    store, quarantine = update(root, cache)
    assert len(store) == 0 and len(quarantine) == 11
    assert update(root, cache, studies_of(0))[0].manifest.dtypes.equals(store.manifest.dtypes)


def test_two_ids_of_one_file_share_its_pixels(root, cache, decoded):
    studies = studies_of(2)
    studies["path"] = "films/0.png"
    store, _ = update(root, cache, studies)
    assert decoded == ["0.png"]
    np.testing.assert_array_equal(store[0], store[1])


def test_killed_run_goes_on_from_its_finished_parts(root, cache, decoded):
    """A process that dies in its third part leaves two whole ones, and no half one that counts."""
    script = f"""
        import os
        from pathlib import Path
        from unichest_kedro.imaging import store
        import pandas as pd
        real, seen = store.decode_image, []
        def dying(path):
            seen.append(path)
            if len(seen) == 11:
                os._exit(9)
            return real(path)
        store.decode_image = dying
        studies = pd.read_json({str(root.parent / "studies.json")!r})
        settings = store.ImagingSettings(image_size=32, n_jobs=1, part_size=4)
        folders = Path({str(root)!r}), Path({str(cache)!r})
        store.update_image_store(studies, *folders, settings, description="x")
    """
    studies_of(11).to_json(root.parent / "studies.json")
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False)
    assert result.returncode == 9, result.stderr.decode()
    assert len(list(cache.glob("part-*.arrow"))) == 2
    assert len(list(cache.glob(".part-*.writing"))) == 1
    store, _ = update(root, cache)
    assert sorted(decoded) == ["10.png", "8.png", "9.png"]
    assert not list(cache.glob(".part-*.writing"))
    check_pixels(store, root, studies_of(11))


def test_an_error_while_decoding_leaves_no_part(root, cache, monkeypatch):
    def failing(path):
        raise RuntimeError("a mistake in the program")

    monkeypatch.setattr(store_module, "decode_image", failing)
    with pytest.raises(RuntimeError, match="a mistake"):
        update(root, cache)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(path.read_bytes()[:-700]), lambda path: path.write_bytes(b"")]
)
def test_damaged_part_is_decoded_again(root, cache, decoded, damage):
    store, _ = update(root, cache)
    damage(cache / store.manifest["part"][0])
    decoded.clear()
    store, _ = update(root, cache)
    assert sorted(decoded) == ["0.png", "1.png", "2.png", "3.png"]
    check_pixels(store, root, studies_of(11))


def test_old_manifest_stays_true_until_the_unused_parts_are_removed(root, cache):
    old, _ = update(root, cache)
    new, _ = update(root, cache, settings=SETTINGS.model_copy(update={"image_size": 48}))
    assert old.missing_parts() == []
    check_pixels(old, root, studies_of(11))
    assert new.remove_unused_parts() == 3
    assert len(old.missing_parts()) == 3 and new.missing_parts() == []
    check_pixels(new, root, studies_of(11))


def test_missing_part_says_what_to_run(root, cache):
    store, _ = update(root, cache)
    (cache / store.manifest["part"][0]).unlink()
    with pytest.raises(MissingArtefact, match=r"missing or damaged.*run `kedro run --pipeline=images`"):
        store[0]
    assert store[10].shape == shorter_side(decode_image(root / "films" / "10.png"), 32).shape


def test_pickled_store_reads_the_same_and_carries_no_pixels(root, cache):
    store, _ = update(root, cache)
    before = store[3]
    pickled = pickle.dumps(store)
    assert len(pickled) < 8000
    np.testing.assert_array_equal(pickle.loads(pickled)[3], before)


def test_pixels_are_read_only(root, cache):
    store, _ = update(root, cache)
    with pytest.raises(ValueError, match="read-only"):
        store[0][0, 0] = 1


def test_indexing(root, cache):
    store, _ = update(root, cache)
    np.testing.assert_array_equal(store[-1], store[10])
    np.testing.assert_array_equal(store[np.int64(4)], store[4])
    with pytest.raises(IndexError, match="film 11 of a store of 11"):
        store[11]
    assert store.row_of(["film7", "film0"]).tolist() == [7, 0]
    with pytest.raises(KeyError, match=r"1 of 2 films are not in the store, e\.g\. other"):
        store.row_of(["film7", "other"])


def test_open_parts_hold_no_file_open(root, cache):
    store, _ = update(root, cache)
    films = list(store)
    links = [link.readlink().name for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert len(films) == 11 and not [name for name in links if name.startswith("part-")]


def test_open_parts_are_mapped_not_copied(root, cache):
    store, _ = update(root, cache)
    address = store[0].ctypes.data
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(cache) in line]
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in mapped]
    assert any(start <= address < end for start, end in ranges)


def test_parts_are_hugging_face_datasets(root, cache):
    store, _ = update(root, cache)
    part = datasets.Dataset.from_file(str(cache / store.manifest["part"][5]))
    film = part[int(store.manifest["row"][5])]
    assert film["image_id"] == "film5"
    pixels = np.frombuffer(film["pixels"], dtype=np.uint8).reshape(film["height"], film["width"])
    np.testing.assert_array_equal(pixels, store[5])


def test_a_part_of_several_batches(tmp_path):
    """More films than go into one batch of the file."""
    films = [np.full((32, 32 + number), number, dtype=np.uint8) for number in range(40)]
    rows = (StoredFilm(str(number), f"k{number}", film, 1, 2) for number, film in enumerate(films))
    assert write_part(tmp_path / "part-a.arrow", rows) == 40
    part = OpenPart(tmp_path / "part-a.arrow")
    for number, film in enumerate(films):
        np.testing.assert_array_equal(part.pixels(number), film.ravel())
    assert list(part.rows()["width"]) == list(range(32, 72))


def test_manifest_can_move_with_its_folder(root, cache, tmp_path):
    store, _ = update(root, cache)
    store.write_manifest(tmp_path / "manifest.parquet")
    (tmp_path / "elsewhere").mkdir()
    cache.rename(tmp_path / "elsewhere" / "cache")
    (tmp_path / "manifest.parquet").rename(tmp_path / "elsewhere" / "manifest.parquet")
    moved = ImageStore.from_manifest(tmp_path / "elsewhere" / "manifest.parquet")
    assert moved.image_size == 32
    check_pixels(moved, root, studies_of(11))


@pytest.mark.parametrize("content", [None, b"no parquet", "other"])
def test_manifest_that_is_none(tmp_path, content):
    path = tmp_path / "manifest.parquet"
    if content == "other":
        pd.DataFrame({"a": [1]}).to_parquet(path)
    elif content:
        path.write_bytes(content)
    with pytest.raises(MissingArtefact, match=r"manifest\.parquet: run `kedro run --pipeline=images`"):
        ImageStore.from_manifest(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_size", 16),
        ("views", ()),
        ("views", ("oblique",)),
        ("n_jobs", 0),
        ("part_size", 0),
        ("size", 1),
    ],
)
def test_wrong_settings_name_the_field(field, value):
    with pytest.raises(ValidationError, match=field):
        ImagingSettings(**{"image_size": 64, field: value})
