"""The comments of a YAML file: what stands above a key, or behind it on its line."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_KEY = re.compile(r"""^(?P<indent>\s*)(?P<quote>["']?)(?P<key>[A-Za-z_{][\w{}.]*)(?P=quote):(?P<rest>(?:\s.*)?)$""")
_ITEM = re.compile(r"^(?P<name>\w+)\s{2,}(?P<text>\S.*)$")
_BEHIND = re.compile(r"\s#\s(?P<text>.*)$")


class Comments(NamedTuple):
    """`head` is the file's own comment, up to its first blank line; `by_key` those of its keys, by dotted name."""

    head: str
    by_key: dict[str, str]


def read_comments(path: Path) -> Comments:
    """Read the comments of a YAML file of nested block mappings.

    A comment belongs to the next key below it; a blank line ends it, and the first one, if a blank line follows, is
    the file's. Keys inside braces have none.
    """
    head, by_key = "", {}
    pending: list[str] = []
    open_keys: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            pending.append(stripped.removeprefix("#").removeprefix(" ").rstrip())
            continue
        if not stripped:
            head = head or (prose(pending) if not by_key else "")
            pending = []
            continue
        found = _KEY.match(line)
        if found:
            indent = len(found["indent"])
            open_keys = [item for item in open_keys if item[0] < indent] + [(indent, found["key"])]
            behind = _BEHIND.search(found["rest"])
            text = prose([*pending, *([behind["text"]] if behind else [])])
            by_key[".".join(key for _, key in open_keys)] = text
        pending = []
    return Comments(head, by_key)


def prose(lines: list[str]) -> str:
    """The lines of a comment as Markdown: an empty one parts paragraphs, `name   meaning` makes an item of a list."""
    blocks: list[str] = []
    ended = True
    for line in lines:
        item = _ITEM.match(line)
        if item:
            blocks.append(f"* `{item['name']}`: {item['text']}")
        elif not line.strip():
            pass
        elif ended:
            blocks.append(line.strip())
        else:
            blocks[-1] += f" {line.strip()}"
        ended = not line.strip()
    return "".join(_joined(blocks)).strip()


def _joined(blocks: list[str]) -> Iterator[str]:
    """Blocks with what parts them: items of one list follow each other, all else is parted by an empty line."""
    before = ""
    for block in blocks:
        yield ("\n" if before.startswith("* ") and block.startswith("* ") else "\n\n") + block
        before = block
