import os

import pandas as pd
import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.paths import find_images, inside_root, look_for, normalise, without_image_suffix


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("a/b.png", True),
        ("a/../b.png", True),
        ("./a/b.png", True),
        ("a/..b/c.png", True),
        ("a//b.png", True),
        ("..", False),
        ("../b.png", False),
        ("a/../../b.png", False),
        ("/etc/passwd", False),
        ("a\\..\\..\\b.png", False),
        ("C:\\b.png", False),
        ("\\\\server\\b.png", False),
    ],
)
def test_paths_that_leave_the_root(path, inside):
    assert inside_root(pd.Series(["a/plain.png", path])).tolist() == [True, inside]


def test_normalise_leaves_plain_paths_alone():
    paths = pd.Series(["a/b.png", "./a//c.png", "x/../y.png"], index=[3, 5, 8])
    assert normalise(paths).to_dict() == {3: "a/b.png", 5: "a/c.png", 8: "y.png"}


def test_presence_against_a_look_at_every_file(tmp_path):
    listed = [f"p{a}/s{b}/{c}.jpg" for a in range(6) for b in range(3) for c in range(4)] + ["top.png"]
    for number, name in enumerate(listed):
        if number % 3 and not name.startswith("p4"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")
    (tmp_path / "p5").rename(tmp_path / "elsewhere")
    (tmp_path / "p5").write_text("a file where a folder should be")
    (tmp_path / "p0/s0/extra.JPG").write_bytes(b"")
    (tmp_path / "p0/s0/report.txt").write_bytes(b"")
    paths = pd.Series(listed, dtype="str").sample(frac=1, random_state=1)
    presence = look_for(tmp_path, paths)
    assert presence.on_disk.tolist() == [(tmp_path / path).is_file() for path in paths]
    assert presence.on_disk.index.equals(paths.index)
    assert 0 < presence.on_disk.sum() < len(listed)
    assert presence.unlisted == 1
    assert look_for(tmp_path, paths, ["p0/s0/extra.JPG", "p0/s1/nothing.png"]).unlisted == 0


def test_only_folders_that_exist_are_read(tmp_path):
    paths = pd.Series([f"files/p{n // 1000}/p{n}/s{n}/x.jpg" for n in range(100_000)], dtype="str")
    (tmp_path / "files/p7").mkdir(parents=True)
    assert not look_for(tmp_path, paths).on_disk.any()


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_images_found_against_a_walk(tmp_path, depth):
    names = [
        "b.png",
        "a.JPG",
        "x/c.dcm",
        "x/y/d.jpeg",
        "x/y/z/e.png",
        "q/f.dicom",
        "q/readings.txt",
        ".g.png",
        ".h/i.png",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.v2").mkdir()
    walked = [name for name in names if name.count("/") <= depth and name[0] != "." and not name.endswith(".txt")]
    assert sorted(find_images(tmp_path, depth=depth)) == sorted(walked)
    assert find_images(tmp_path, depth=depth)[:2] == ["a.JPG", "b.png"]
    inside = [name for name in walked if name.startswith("x/") and name.count("/") <= depth]
    assert sorted(find_images(tmp_path, ["x", "nowhere", "b.png"], depth=max(depth - 1, 0))) == sorted(
        inside or ["x/c.dcm"]
    )


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.png", "a"), ("1.2.3.DCM", "1.2.3"), ("1.2.3", "1.2.3"), ("a.dcm.png", "a.dcm"), ("png", "png")],
)
def test_image_suffixes(name, stem):
    assert without_image_suffix(name) == stem


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not stop this user")
def test_unreadable_folder_is_named(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    with pytest.raises(SourceError, match="closed: the folder cannot be read"):
        look_for(tmp_path, pd.Series(["closed/a.png"]))
    with pytest.raises(SourceError, match="closed: the folder cannot be read"):
        find_images(tmp_path, depth=1)
