"""The pieces of the generated reference, on made-up models and files."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field, RootModel
from reference_pages.comments import read_comments
from reference_pages.findings import fill_in, labels_of
from reference_pages.markdown import docstring, table
from reference_pages.parameters import allowed, fields_of, in_words, model_of_each
from reference_pages.project import leaves

from unichest_kedro.errors import VocabularyError
from unichest_kedro.vocabulary import Vocabulary


class Inner(BaseModel):
    """Inside."""

    share: float = Field(default=0.5, gt=0, le=1)


class Outer(BaseModel):
    """Outside."""

    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    inner: Inner = Inner()
    maybe: Inner | None = None


class Many(RootModel[dict[str, Inner]]):
    """By key."""


@pytest.fixture
def comments(tmp_path):
    def read(text):
        path = tmp_path / "parameters.yml"
        path.write_text(text)
        return read_comments(path)

    return read


def test_comments_belong_to_the_key_below_or_to_their_line(comments):
    found = comments("# All of it.\nblock:\n  # First,\n  # in two lines.\n  one: 1\n  two: 2 # Second.\n  three: 3\n")
    assert found.head == ""
    assert found.by_key == {
        "block": "All of it.",
        "block.one": "First, in two lines.",
        "block.two": "Second.",
        "block.three": "",
    }


def test_a_comment_before_a_blank_line_is_the_files(comments):
    found = comments("# About the file.\n\n# Of a.\na: {x: 1} # and more\n\n# Of nothing.\n\nb: 'no # comment'\n")
    assert found.head == "About the file."
    assert found.by_key["a"] == "Of a. and more"
    assert found.by_key["b"] in ("", "comment'")  # a hash inside quotes is not told from a comment


def test_aligned_explanations_become_a_list(comments):
    text = "# What there is.\n#\n# one    the first,\n#        of two\n# other  the second\nblock: 1\n"
    assert comments(text).by_key["block"] == "What there is.\n\n* `one`: the first, of two\n* `other`: the second"


def test_keys_may_be_patterns_in_quotes(comments):
    assert comments('# Of a pattern.\n"{source}_root":\n  type: x\n').by_key["{source}_root"] == "Of a pattern."


def test_nested_models_are_rows_of_their_own():
    names = [row.name for row in fields_of(Outer, "outer")]
    assert names == ["outer.kind", "outer.names", "outer.inner.share", "outer.maybe", "outer.maybe.share"]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "whole number"),
        (bool | None, "true or false or null"),
        (Literal["a", "b"], "`a`, `b`"),
        (tuple[float, float] | None, "list of number or null"),
        (dict[str, Path], "mapping of text to path"),
        (Inner, "mapping"),
        (Many, "mapping of text to mapping"),
    ],
)
def test_types_in_words(hint, words):
    assert in_words(hint) == words


def test_ranges_are_said():
    assert allowed(Inner.model_fields["share"]) == "number, > 0, ≤ 1"


def test_a_mapping_to_models_is_recognised():
    assert model_of_each(Many) is Inner
    assert model_of_each(dict[str, Inner]) is Inner
    assert model_of_each(Outer) is None


def test_cells_keep_bars_inside_code_and_escape_others():
    assert table(["a"], [["`x|y` or p|q\nend"]]).splitlines()[-1] == "| `x|y` or p\\|q end |"


def test_sections_of_a_docstring_are_left_out():
    def documented():
        """First.

        Second.

        Args:
            x: something.
        """

    assert docstring(documented) == "First.\n\nSecond."


def test_leaves_have_dotted_names():
    assert dict(leaves({"a": {"b": 1, "c": {}}, "d": [2]})) == {"a.b": 1, "a.c": {}, "d": [2]}


def test_labels_of_a_source_replace_its_mark(project):
    vocabulary = Vocabulary.from_yaml(project / "conf/base/vocabulary.yml")
    filled = fill_in("before\n\n<!-- labels of siim_acr -->\n\nafter", vocabulary)
    assert labels_of(vocabulary, "siim_acr") in filled
    assert "| Pneumothorax | pneumothorax |" in filled
    with pytest.raises(VocabularyError, match="no rules for source 'nobody'"):
        fill_in("<!-- labels of nobody -->", vocabulary)
