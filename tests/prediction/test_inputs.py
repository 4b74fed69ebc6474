"""Which films are meant by a folder, a list, a CSV, a file; wrong ones are named."""

import logging

import pytest
from PIL import Image

from unichest_kedro.errors import SettingsError
from unichest_kedro.prediction.inputs import list_films


def test_a_folder_is_searched_with_all_below_it(folder, caplog):
    with caplog.at_level(logging.WARNING):
        films = list_films(folder)
    assert list(films["film"]) == ["a.png", "deep/b.JPG", "deep/c.png", "deep/er/IM0001"]
    assert films["path"].iloc[0] == str(folder / "a.png")
    assert "2 files" in caplog.text
    assert ".txt 1, .csv 1" in caplog.text


def test_hidden_files_and_dicomdir_are_no_films(folder):
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / ".trash").mkdir()
    (folder / ".trash" / "x.png").write_bytes(b"x")
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    assert len(list_films(folder)) == 4


def test_a_broken_film_is_listed_by_its_name(folder):
    (folder / "empty.png").write_bytes(b"")
    assert "empty.png" in set(list_films(folder)["film"])


def test_a_linked_folder_is_entered_once(folder, tmp_path):
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "x.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "link").symlink_to(other)
    (folder / "round").symlink_to(folder)
    assert list(list_films(folder)["film"]).count("link/x.png") == 1
    assert len(list_films(folder)) == 5


def test_a_list_is_relative_to_its_folder(folder, caplog):
    listed = folder / "list.txt"
    listed.write_text("# my films\na.png\n\ndeep/c.png\na.png\n/nowhere/z.png\n")
    films = list_films(listed)
    assert list(films["film"]) == ["a.png", "deep/c.png", "/nowhere/z.png"]
    assert list(films["path"]) == [str(folder / "a.png"), str(folder / "deep/c.png"), "/nowhere/z.png"]
    assert "listed more than once" in caplog.text


def test_a_csv_may_name_the_films(folder):
    table = folder / "mine.csv"
    table.write_text("\ufeffid,path,age\n001,a.png,7\nNA,deep/c.png,8\n")
    films = list_films(table)
    assert list(films["film"]) == ["001", "NA"]
    assert films["path"].iloc[1] == str(folder / "deep/c.png")
    table.write_text("path\na.png\n")
    assert list(list_films(table)["film"]) == ["a.png"]


def test_a_single_film(folder):
    assert list(list_films(folder / "a.png")["film"]) == ["a.png"]
    assert len(list_films(folder / "deep/er/IM0001")) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file\na.png\n", "no column `path`; it has file"),
        ("path\n", "no row"),
        ("path,id\na.png,1\n ,2\n", "column `path` is empty in line 3"),
        ("path,id\na.png,1\nb.png,\n", "column `id` is empty in line 3"),
        ("path,id\na.png,1\nb.png,1\n", "id '1' stands for two different paths"),
        ("", "cannot be read as a CSV"),
    ],
)
def test_a_wrong_csv_is_named_with_line_and_value(tmp_path, content, words):
    table = tmp_path / "x.csv"
    table.write_text(content)
    with pytest.raises(SettingsError, match=words):
        list_films(table)


def test_what_is_no_list_of_films_is_named(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "x.xml").write_text("<a/>")
    with pytest.raises(SettingsError, match=r"holds no DICOM, PNG or JPEG file.*1 other"):
        list_films(tmp_path / "none")
    with pytest.raises(SettingsError, match="there is nothing at"):
        list_films(tmp_path / "gone")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(SettingsError, match="lists no film"):
        list_films(tmp_path / "empty.txt")
    (tmp_path / "raw.bin").write_bytes(b"\xff\x00\xfe" * 100)
    with pytest.raises(SettingsError, match="neither a film nor a text list"):
        list_films(tmp_path / "raw.bin")


def test_a_picture_of_another_kind_is_listed_only_by_name(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "x.gif")
    Image.new("L", (9, 9)).save(tmp_path / "y.png")
    assert list(list_films(tmp_path)["film"]) == ["y.png"]
