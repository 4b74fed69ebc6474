import gzip

import pytest

from unichest_kedro.errors import SourceError
from unichest_kedro.sources.tables import find_table, read_header, read_table, require_unique, to_numbers


def test_columns_are_read_by_name_whatever_their_order(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\ufeff b ,a,,\n1,x\n2,\n", encoding="utf-8")
    frame = read_table(path, ["a", "b"], optional=["c"])
    assert frame.columns.tolist() == ["a", "b"]
    assert frame["b"].tolist() == ["1", "2"]
    assert frame["a"].isna().tolist() == [False, True]


def test_text_stays_text(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"id,word\n0007,None\n0008,NA\n"))
    frame = read_table(path, ["id", "word"])
    assert frame["id"].tolist() == ["0007", "0008"]
    assert frame["word"].tolist() == ["None", "NA"]


def test_other_spelling_of_a_column(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("rad_id\nR1\n")
    assert read_table(path, ["rad_ID"], spellings={"rad_ID": ["rad_id"]})["rad_ID"].tolist() == ["R1"]


def test_missing_column_names_file_column_and_what_is_there(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("path,Age\nx,1\n")
    with pytest.raises(SourceError) as error:
        read_table(path, ["Path", "Sex"])
    message = str(error.value)
    assert str(path) in message and "columns 'Path' (is it 'path'?), 'Sex' missing" in message
    assert "found: 'path', 'Age'" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"a,b\n", "no rows"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "cannot be read as a csv table"),
        (b'a,b\n"1,2\n', "cannot be read as a csv table"),
        (b"a,a,b\n1,2,3\n", "'a' is there 2 times"),
    ],
)
def test_broken_table(tmp_path, content, words):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=words):
        read_table(path, ["a", "b"])


def test_broken_gzip(tmp_path):
    path = tmp_path / "t.csv.gz"
    whole = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(20000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="cannot be read as a csv table"):
        read_table(path, ["a"])
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(SourceError, match="cannot be read as a csv table"):
        read_header(path)


def test_bad_number_names_line_column_and_value(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n1.0\n\ntwo\n")
    frame = read_table(path, ["a"])
    with pytest.raises(SourceError, match=r"line 3: column 'a' holds 'two'; it must be a number or blank"):
        to_numbers(frame, ["a"], path)
    path.write_text("a,b\n1.0,\n,\n2,\n")
    frame = read_table(path, ["a"])
    with pytest.raises(SourceError, match=r"line 4: column 'a' holds '2'; it must be one of 1, 0, -1 or blank"):
        to_numbers(frame, ["a"], path, (1.0, 0.0, -1.0))
    assert to_numbers(frame, ["a"], path)["a"].isna().tolist() == [False, True, False]


def test_repeated_rows_are_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n1,3\n1,2\n")
    frame = read_table(path, ["a", "b"])
    with pytest.raises(SourceError, match=r"1 films listed more than once, for example 1 / 2"):
        require_unique(frame, ["a", "b"], path, "films")


def test_find_table_takes_the_gzipped_one_too(tmp_path):
    assert find_table(tmp_path, "a.csv") is None
    (tmp_path / "b.csv.gz").write_bytes(b"")
    assert find_table(tmp_path, "a.csv", "b.csv") == tmp_path / "b.csv.gz"
