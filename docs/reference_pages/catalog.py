"""The pages of the catalog and of its tables: each dataset with its file and schema, who makes it and who reads it."""

import importlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandera.pandas as pa

from unichest_kedro import schemas

from .comments import read_comments
from .markdown import code, codes, docstring, table
from .project import Project

CATALOG_HEAD = """# Catalog

Every entry of `conf/base/catalog_*.yml`: what passes from one node to the next and stays on disk. Written at each build
from the catalog and the registered pipelines.

`{source}` stands for the key of a source, `{stage}` for `conquer`, `continued` (Conquer trained on for as long as
Divide) or `unichest` (Conquer + Divide). In a notebook (`make jupyter`), `catalog.load("chexpert_studies")` brings one.
A table that names a [schema](tables.md) is checked against it when it is written and when it is read.
"""

TABLES_HEAD = """# Tables

The schemas that tables are checked against (Pandera models), each with its columns. A name in `^...$` is a pattern for
several columns. Written at each build from the code.
"""


class Wiring(NamedTuple):
    """Names of the nodes that make and that read a catalog entry."""

    makers: list[str]
    readers: list[str]


def catalog_page(project: Project) -> str:
    """The page of the catalog."""
    wired = wiring(project)
    sections = [CATALOG_HEAD.strip()]
    for file in sorted(project.conf.glob("base/catalog*.yml")):
        comments = read_comments(file)
        entries = [key for key in comments.by_key if key in project.catalog]
        head = ["dataset, file", "kind", "made by", "read by"]
        rows = [_row(project, name, comments.by_key[name], wired[name]) for name in entries]
        sections += [f"## {file.name}", *([comments.head] if comments.head else []), table(head, rows)]
    return "\n\n".join(sections) + "\n"


def wiring(project: Project) -> dict[str, Wiring]:
    """For every catalog entry the nodes that make it and that read it, each name once."""
    found: dict[str, Wiring] = defaultdict(lambda: Wiring([], []))
    for node in project.nodes():
        name = project.without_source(node)
        for datasets, names in ((node.outputs, 0), (node.inputs, 1)):
            for dataset in datasets:
                entry = project.entry_of(dataset)
                if entry is not None and name not in found[entry][names]:
                    found[entry][names].append(name)
    return found


def tables_page(project: Project) -> str:
    """The page of the schemas."""
    used = defaultdict(list)
    for name, entry in project.catalog.items():
        if "validator" in entry:
            used[entry["validator"]].append(name)
    models = {f"{schemas.__name__}.{model.__name__}": model for model in _models_of(schemas)}
    models |= {path: _load(path) for path in used if path not in models}
    return "\n\n".join([TABLES_HEAD.strip(), *(_schema(model, used[path]) for path, model in models.items())]) + "\n"


def _row(project: Project, name: str, comment: str, wired: Wiring) -> list[str]:
    entry = project.catalog[name]
    kind = code(entry["type"].rsplit(".", 1)[-1])
    if "validator" in entry:
        schema = entry["validator"].rsplit(".", 1)[-1]
        kind += f", table [{schema}](tables.md#{schema.lower()})"
    made = codes(wired.makers) or ("a folder, handed on as it is" if kind == "`FolderDataset`" else "given")
    shown = [code(name), *([code(entry["filepath"])] if "filepath" in entry else []), *([comment] if comment else [])]
    return ["<br>".join(shown), kind, made, codes(wired.readers)]


def _models_of(module: Any) -> Iterator[type[pa.DataFrameModel]]:
    """The schemas that a module defines, in its order; one that only lends others its columns is none."""
    public = [thing for name, thing in vars(module).items() if not name.startswith("_")]
    for thing in public:
        if isinstance(thing, type) and issubclass(thing, pa.DataFrameModel) and thing.__module__ == module.__name__:
            yield thing


def _load(path: str) -> type[pa.DataFrameModel]:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _schema(model: type[pa.DataFrameModel], entries: list[str]) -> str:
    schema = model.to_schema()
    rows = [
        [code(name), _type(column.dtype), "yes" if column.nullable else "no", _checks(column)]
        for name, column in schema.columns.items()
    ]
    kept = f"Catalog: {codes(entries)}." if entries else "Not kept in the catalog."
    about = docstring(model)
    parts = [f"## {model.__name__} {{ #{model.__name__.lower()} }}", *([about] if about else []), kept]
    return "\n\n".join([*parts, table(["column", "type", "may be empty", "allowed"], rows)])


def _type(dtype: Any) -> str:
    words = str(dtype or "any")
    return "str" if words.startswith("string") else words


def _checks(column: Any) -> str:
    """What a column's checks allow, in words."""
    words = [_check(check) for check in column.checks]
    if column.unique:
        words.append("each value once")
    if not column.required:
        words.append("need not be there")
    return ", ".join(filter(None, words))


def _check(check: Any) -> str:
    said = check.statistics or {}
    if check.name == "isin":
        return "one of " + codes(repr(value) if value == "" else value for value in said["allowed_values"])
    signs = {
        "greater_than_or_equal_to": ("≥", "min_value"),
        "greater_than": (">", "min_value"),
        "less_than_or_equal_to": ("≤", "max_value"),
        "less_than": ("<", "max_value"),
        "str_matches": ("matches", "pattern"),
    }
    if check.name in signs:
        sign, key = signs[check.name]
        value = said[key]
        return f"{sign} {code(getattr(value, 'pattern', value))}"
    return str(check.error or check.name or "checked")
