"""The page of parameters: every field of every model that a node takes as `params:`, with its values and meaning."""

import re
import types
from collections.abc import Iterator
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import yaml
from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .comments import read_comments
from .markdown import code, codes, docstring, table
from .project import ENVIRONMENTS, PACKAGE, Project

HEAD = """# Parameters

Every parameter of `conf/base/parameters_*.yml`, as the code's own models define it. This page is written at each build
from those models and files; nothing in it is kept by hand.

A wrong value stops a run before any work is done, and names the parameter. Change a parameter for good in
`conf/local/parameters.yml` (only what differs), or for one run:

```bash
kedro run --params=conquer.epochs=20,seed=1
```

The column "value" is what `conf/base` says, or the code's own default in *italics* where `conf/base` is silent. A value
of another environment (`kedro run --env=paper`) is given where it differs. A wide table can be moved sideways.
"""

_PLAIN = {
    Any: "anything",
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "text",
    Path: "path",
    type(None): "null",
}
_BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}", "min_length": "not empty"}


class Use(NamedTuple):
    """How nodes take one parameter: the type hint they validate it with, and the nodes' names."""

    hint: Any
    nodes: list[str]


class Row(NamedTuple):
    """One parameter in a table: dotted name, field (None for a plain value), and the model that has it."""

    name: str
    field: FieldInfo | None
    model: type[BaseModel] | None


def parameters_page(project: Project) -> str:
    """The whole page."""
    return "\n\n".join([HEAD.strip(), *_Page(project).sections()]) + "\n"


def uses(project: Project) -> dict[str, Use]:
    """Every top-level parameter that a node takes, by its name without `params:`."""
    found: dict[str, Use] = {}
    for node in project.nodes():
        hints = get_type_hints(node.func)
        for argument, dataset in _arguments(node):
            if dataset.startswith("params:"):
                name = dataset.removeprefix("params:")
                use = found.setdefault(name, Use(hints.get(argument, Any), []))
                if (label := project.without_source(node)) not in use.nodes:
                    use.nodes.append(label)
    return found


def fields_of(model: type[BaseModel], prefix: str) -> Iterator[Row]:
    """Every field of a model and of the models inside it, by dotted name."""
    for name, field in model.model_fields.items():
        inner, each = model_in(field.annotation), model_of_each(field.annotation)
        if inner is None or type(None) in get_args(field.annotation):
            yield Row(f"{prefix}.{name}", field, model)
        if inner is not None:
            yield from fields_of(inner, f"{prefix}.{name}")
        if each is not None:
            yield from fields_of(each, f"{prefix}.{name}[]")


def model_in(hint: Any) -> type[BaseModel] | None:
    """The model with fields that a type hint is or may be, None for anything else."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return next((kind for kind in kinds if _is_model(kind) and not issubclass(kind, RootModel)), None)


def model_of_each(hint: Any) -> type[BaseModel] | None:
    """The model of every value of a mapping or list, None for a hint that is neither, or not of models."""
    if _is_model(hint) and issubclass(hint, RootModel):
        hint = hint.model_fields["root"].annotation
    if get_origin(hint) not in (dict, list, tuple):
        return None
    return next((inner for part in get_args(hint) if (inner := model_in(part))), None)


def about(model: type[BaseModel]) -> str:
    """The docstrings of a model and of the project's models that it extends."""
    own = [kind for kind in model.__mro__ if _is_model(kind) and kind.__module__.startswith(PACKAGE)]
    texts = [docstring(kind) for kind in own if not kind.__name__.startswith("_") and "__doc__" in vars(kind)]
    return "\n\n".join(dict.fromkeys(filter(None, texts)))


def in_words(hint: Any) -> str:
    """A type hint in words, its allowed values where it lists them."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return in_words(parts[0])
    if origin is Literal:
        return codes(parts)
    if origin in (Union, types.UnionType):
        return " or ".join(in_words(part) for part in parts)
    if origin in (tuple, list, set):
        inner = [part for part in parts if part is not Ellipsis]
        return f"list of {in_words(inner[0])}" if len(set(inner)) == 1 else "list: " + ", ".join(map(in_words, inner))
    if origin is dict:
        return f"mapping of {in_words(parts[0])} to {in_words(parts[1])}"
    if _is_model(hint):
        return in_words(hint.model_fields["root"].annotation) if issubclass(hint, RootModel) else "mapping"
    return _PLAIN.get(hint, getattr(hint, "__name__", "anything"))


def allowed(field: FieldInfo) -> str:
    """Type and range of a field in words."""
    bounds = [
        words.format(getattr(limit, bound))
        for limit in field.metadata
        for bound, words in _BOUNDS.items()
        if getattr(limit, bound, None) is not None
    ]
    return ", ".join([in_words(field.annotation), *bounds])


class _Page:
    def __init__(self, project: Project) -> None:
        self.project = project
        self.uses = uses(project)

    def sections(self) -> Iterator[str]:
        for file in sorted(self.project.conf.glob("base/parameters*.yml")):
            comments = read_comments(file)
            yield f"## {file.name}" + (f"\n\n{comments.head}" if comments.head else "")
            for name in [key for key in comments.by_key if "." not in key]:
                yield self._section(name)

    def _section(self, name: str) -> str:
        use = self._use_of(name)
        hint = use.hint if use else Any
        model, many = model_in(hint), model_of_each(hint)
        said = self.comments.get(name, "")
        parts = [f"### {name} {{ #{name} }}", *([said] if said else []), *([about(model)] if model else [])]
        parts += [docstring(kind) for kind in (hint, many) if many]
        rows = self._rows(model or many, f"{name}.<key>" if many else name)
        parts.append(self._table([*([Row(name, None, None)] if many else []), *rows], hint))
        parts += [self._each(name, many)] if many and self.project.parameters.get(name) else []
        parts += [f"Inside: {inner}" for inner in self._inner_models(model, name)] if model else []
        parts.append(f"Read by {codes(use.nodes)}." if use else "Read by no node.")
        return "\n\n".join(parts)

    def _rows(self, model: type[BaseModel] | None, name: str) -> list[Row]:
        """The rows of a block: the fields of its model, or without one its keys."""
        if model is not None:
            return list(fields_of(model, name))
        value = self.project.parameters[name]
        return (
            [Row(f"{name}.{key}", None, None) for key in value] if isinstance(value, dict) else [Row(name, None, None)]
        )

    def _each(self, name: str, model: type[BaseModel]) -> str:
        """The entries that `conf/base` has of a mapping whose values are of one model, a row for each."""
        given = self.project.parameters[name]
        entries = given if isinstance(given, dict) else dict(enumerate(given, 1))
        fields = [field for field in model.model_fields if any(field in entry for entry in entries.values())]
        rows = [
            [code(f"{name}.{key}"), *(_shown(entry[field]) if field in entry else "" for field in fields)]
            for key, entry in entries.items()
        ]
        return table(["in conf/base", *fields], rows)

    def _use_of(self, name: str) -> Use | None:
        """The use of a whole block; nodes that take only a part of it (`params:model.width`) are among its nodes."""
        whole = self.uses.get(name)
        parts = [use for other, use in self.uses.items() if other.startswith(f"{name}.")]
        if whole is None:
            return parts[0] if parts else None
        nodes = [node for use in (whole, *parts) for node in use.nodes]
        return Use(whole.hint, list(dict.fromkeys(nodes)))

    def _table(self, rows: list[Row], hint: Any) -> str:
        named = {row.name for row in rows}
        environments = [
            environment
            for environment in ENVIRONMENTS
            if any(self._covers(name, named) for name in self.project.changes[environment])
        ]
        head = ["parameter", "value", *environments, "allowed", "meaning"]
        lines = [self._line(row, environments, hint) for row in rows]
        width = len(head) if any(line[-1] for line in lines) else len(head) - 1
        return table(head[:width], [line[:width] for line in lines])

    def _line(self, row: Row, environments: list[str], hint: Any) -> list[str]:
        value, is_default = self._value(row)
        shown = f"*{self._default_of(row, value)}*" if is_default else _shown(value)
        others = [self._other(row.name, environment, value) for environment in environments]
        kinds = allowed(row.field) if row.field is not None else in_words(hint)
        return [code(row.name), shown, *others, kinds, self._meaning(row)]

    def _value(self, row: Row) -> tuple[Any, bool]:
        """What `conf/base` says and False, or the model's default and True."""
        value: Any = self.project.parameters
        for key in row.name.split("."):
            if not isinstance(value, dict) or key not in value:
                return (_default(row.field), True)
            value = value[key]
        return value, False

    def _default_of(self, row: Row, value: Any) -> str:
        """A default in words; that of a field with the name of a parameter of its own (`seed`) is that parameter."""
        own = row.name.rsplit(".", 1)[-1]
        return f"as [{own}](#{own})" if own in self.uses else _shown(value) or "must be given"

    def _other(self, name: str, environment: str, value: Any) -> str:
        """What another environment says, "" where that is nothing else."""
        changes = self.project.changes[environment]
        if name in changes:
            return _shown(changes[name]) if changes[name] != value else ""
        inside = {key.removeprefix(f"{name}."): other for key, other in changes.items() if key.startswith(f"{name}.")}
        return _shown(inside) if inside else ""

    def _meaning(self, row: Row) -> str:
        """The comment beside it in `conf/base`, else the field's description, else what its model's docstring says."""
        said = self.comments.get(row.name, "") if row.model is not None else ""
        if said or row.field is None:
            return said
        return row.field.description or _sentences(row.name.rsplit(".", 1)[-1], about(row.model))

    def _inner_models(self, model: type[BaseModel], prefix: str) -> Iterator[str]:
        for name, field in model.model_fields.items():
            inner = model_in(field.annotation) or model_of_each(field.annotation)
            if inner is not None:
                yield f"`{prefix}.{name}`. {about(inner)}"
                yield from self._inner_models(inner, f"{prefix}.{name}")

    @staticmethod
    def _covers(changed: str, named: set[str]) -> bool:
        return changed in named or any(changed.startswith(f"{name}.") for name in named)

    @cached_property
    def comments(self) -> dict[str, str]:
        files = self.project.conf.glob("base/parameters*.yml")
        return {key: text for file in files for key, text in read_comments(file).by_key.items()}


def _is_model(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def _arguments(node: Any) -> Iterator[tuple[str, str]]:
    """The arguments of a node's function with the datasets that they are given."""
    if isinstance(node._inputs, dict):
        yield from node._inputs.items()
        return
    given = [node._inputs] if isinstance(node._inputs, str) else list(node._inputs or [])
    yield from zip(signature(node.func).parameters, given)


def _default(field: FieldInfo | None) -> Any:
    if field is None:
        return None
    default = field.get_default(call_default_factory=True)
    return "" if default is PydanticUndefined else default


def _shown(value: Any) -> str:
    """A value as it is written in YAML."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True)
    if value is None or isinstance(value, bool):
        return code({None: "null", True: "true", False: "false"}[value])
    if isinstance(value, tuple):
        value = list(value)
    items = list(value.values()) if isinstance(value, dict) else value
    if isinstance(items, list) and len(items) > 1 and all(isinstance(item, dict) for item in items):
        return f"{len(items)} entries"
    if isinstance(value, list | dict):
        return code(yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6).strip())
    return code(value)


def _sentences(field: str, text: str) -> str:
    """The sentences of a docstring that name a field in backquotes."""
    sentences = re.split(r"(?<=[.;])\s+(?=[A-Z`])", " ".join(text.split()))
    return " ".join(sentence for sentence in sentences if f"`{field}`" in sentence)
