"""A folder or file is replaced as a whole or not at all."""

import pytest

from unichest_kedro.datasets.atomic import replacing_file, replacing_folder


def test_new_folder_takes_the_place(tmp_path):
    target = tmp_path / "model"
    with replacing_folder(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert [p.name for p in target.iterdir()] == ["a"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_old_content_goes(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("0")
    with replacing_folder(target) as folder:
        (folder / "new").write_text("1")
    assert [p.name for p in target.iterdir()] == ["new"]


def test_an_error_leaves_the_old_folder(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("0")
    with pytest.raises(RuntimeError), replacing_folder(target) as folder:
        (folder / "half").write_text("1")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert [p.name for p in target.iterdir()] == ["old"]


def test_a_new_file_takes_the_place_and_its_folder_is_made(tmp_path):
    target = tmp_path / "new" / "table.csv"
    for content in ("1", "2"):
        with replacing_file(target) as fresh:
            fresh.write_text(content)
            assert not target.exists() or target.read_text() == "1"
        assert target.read_text() == content
    assert [p.name for p in target.parent.iterdir()] == ["table.csv"]


def test_an_error_leaves_the_old_file(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing_file(target) as fresh:
        fresh.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"] and target.read_text() == "old"
