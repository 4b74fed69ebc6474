"""Mistakes in the settings, each as one sentence: which setting, where it is said, its value, what is allowed.

The types are the type hints of the nodes that take the parameters (`params:conquer` -> `ConquerSettings`), so that a
setting is described once, where it is used. Pydantic finds the mistakes; the words are ours.
"""

import difflib
import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from unichest_kedro.errors import SettingsError

Origin = Callable[[str], str]
"""Dotted name of a parameter -> where its value is said, such as `conf/local/parameters.yml`; "" where unknown."""

PREFIX = "params:"
LONGEST = 60
"""Characters of a value that are shown."""

CLOSEST = 3


def types_of_parameters(nodes: Iterable[tuple[Callable[..., Any], Sequence[str]]]) -> dict[str, Any]:
    """Return the type of each parameter that a node takes.

    Args:
        nodes: function and names of inputs, in the order of the function's arguments.

    Returns:
        Dotted name without `params:` -> type hint; `Any` where the function has none.
    """
    found: dict[str, Any] = {}
    for function, inputs in nodes:
        wanted = [name for name in inputs if name.startswith(PREFIX)]
        if not wanted:
            continue
        hints = get_type_hints(function)
        arguments = dict(zip(inputs, inspect.signature(function).parameters))
        for name in wanted:
            hint = hints.get(arguments.get(name, ""), Any)
            if found.get(name.removeprefix(PREFIX), Any) is Any:
                found[name.removeprefix(PREFIX)] = hint
    return found


def find_mistakes(
    parameters: Mapping[str, Any], wanted: Mapping[str, Any], said_in: Origin, own_names: bool = False
) -> list[str]:
    """Return a sentence for each mistake, in the order of the parameters.

    Args:
        parameters: all parameters, as the configuration gives them.
        wanted: type of each parameter, by its dotted name (`types_of_parameters`).
        said_in: where a parameter is said.
        own_names: whether users may have names of their own, to refer to; one that looks like a misspelt name of
            ours is a mistake either way.
    """
    known = list(dict.fromkeys(name.partition(".")[0] for name in wanted))
    sentences = []
    for name in parameters:
        if name in known or name.startswith("_"):  # Kedro's sign of a value that is only referred to
            continue
        if not own_names or _close(name, known):
            sentences.append(_unknown(name, name, known, "", said_in))
    for name, hint in wanted.items():
        value = _value(parameters, name)
        if value is not _NOTHING:
            sentences += _mistakes_of(name, value, hint, said_in)
    return list(dict.fromkeys(sentences))


def refuse(mistakes: Sequence[str], advice: str) -> None:
    """Stop where there is any mistake.

    Raises:
        SettingsError: all of them in one message.
    """
    if mistakes:
        raise SettingsError(in_one_message(mistakes, advice))


def in_one_message(sentences: Sequence[str], advice: str) -> str:
    """One sentence as it is, several as a list; and what to do."""
    if len(sentences) == 1:
        return f"{sentences[0]}\n{advice}"
    listed = "\n".join(f"- {sentence}" for sentence in sentences)
    return f"{len(sentences)} settings are wrong:\n{listed}\n{advice}"


_NOTHING = object()


def _value(parameters: Mapping[str, Any], name: str) -> Any:
    value: Any = parameters
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _NOTHING
        value = value[part]
    return value


def _mistakes_of(name: str, value: Any, hint: Any, said_in: Origin) -> list[str]:
    try:
        TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        return _sentences(name, value, hint, error.errors(include_url=False), said_in)
    return []


def _sentences(name: str, value: Any, hint: Any, errors: Sequence[ErrorDetails], said_in: Origin) -> list[str]:
    """One sentence per wrong setting; a union reports its branches apart, which belong together."""
    allowed: dict[str, list[str]] = {}
    whole: dict[str, str] = {}
    for error in errors:
        place, parent = _place(error["loc"], value, hint)
        dotted = ".".join([name, *place])
        if error["type"] == "extra_forbidden":
            prefix = dotted.removesuffix(place[-1])
            whole[dotted] = _unknown(dotted, place[-1], _fields(parent), prefix, said_in)
        else:
            allowed.setdefault(dotted, []).append(_rule(error))
            whole.setdefault(dotted, "")
            if error["type"] not in ("missing", "value_error", "assertion_error"):
                whole[dotted] = f" is {_shown(error['input'])}"
    sentences = []
    for dotted, words in whole.items():
        if dotted in allowed:
            first, *others = dict.fromkeys(allowed[dotted])
            rules = " or ".join([first, *(rule.removeprefix(_MUST) for rule in others)]).removesuffix(".")
            rules = rules.removeprefix(f"{dotted.rpartition('.')[2]}: ")
            words = f"{dotted}{words}{_from(dotted, said_in)}: {rules}."
        sentences.append(words)
    return sentences


def _place(location: Sequence[int | str], value: Any, hint: Any) -> tuple[list[str], Any]:
    """The steps of a location that lead to a setting, without names of union branches; the type that it stands in."""
    steps: list[str] = []
    parent = hint
    for part in location:
        there = isinstance(value, Mapping) and (part in value or part in _fields(hint))
        if there or (isinstance(part, int) and isinstance(value, list | tuple) and part < len(value)):
            steps.append(str(part))
            value = value.get(part) if isinstance(value, Mapping) else value[int(part)]
            parent, hint = hint, _inner(hint, part)
        # else: the branch of a union, such as `bool` or `literal['auto']`: no step of the configuration
    return steps, parent


def _fields(hint: Any) -> dict[str, Any]:
    """Names and types of the fields of a model, also of `Model | None`; {} where no model is meant."""
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        return {name: field.annotation for name, field in hint.model_fields.items()}
    if get_origin(hint) in (Union, types.UnionType):
        return {name: kind for part in get_args(hint) for name, kind in _fields(part).items()}
    return {}


def _inner(hint: Any, part: int | str) -> Any:
    """The type of what stands at a name or number inside of a type; None where that cannot be told."""
    fields = _fields(hint)
    if str(part) in fields:
        return fields[str(part)]
    if "root" in fields:
        return _inner(fields["root"], part)
    arguments = [kind for kind in get_args(hint) if kind is not Ellipsis]
    if get_origin(hint) in (Union, types.UnionType):
        inside = [kind for argument in arguments if (kind := _inner(argument, part)) is not None]
        return inside[0] if inside else None
    return arguments[-1] if arguments else None


def _unknown(dotted: str, word: str, known: Collection[str], prefix: str, said_in: Origin) -> str:
    close = _close(word, known)
    if close:
        hint = f"did you mean {' or '.join(prefix + name for name in close)}?"
    else:
        hint = f"there is {', '.join(sorted(known))}." if known else "there is none of this name."
    return f"{dotted}{_from(dotted, said_in)} is no setting: {hint}"


def _close(word: str, known: Collection[str]) -> list[str]:
    """The names that were probably meant, the likeliest first."""
    return difflib.get_close_matches(word, known, n=CLOSEST, cutoff=0.6)


def _from(dotted: str, said_in: Origin) -> str:
    place = said_in(dotted)
    return f" ({place})" if place else ""


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    words = repr(value)
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"


_MUST = "it must be "
_RULES = {
    "greater_than_equal": "it must be at least {ge}",
    "greater_than": "it must be more than {gt}",
    "less_than_equal": "it must be at most {le}",
    "less_than": "it must be less than {lt}",
    "multiple_of": "it must be a multiple of {multiple_of}",
    "literal_error": f"{_MUST}{{expected}}",
    "enum": f"{_MUST}{{expected}}",
    "missing": "it is missing and has no default",
    "too_short": "it must have at least {min_length} entries, and has {actual_length}",
    "too_long": "it must have at most {max_length} entries, and has {actual_length}",
    "string_too_short": "it must have at least {min_length} characters",
    "finite_number": "it must be a finite number",
    "none_required": "it must be left empty (null)",
}
_KINDS = {
    "int": "it must be a whole number",
    "float": "it must be a number",
    "decimal": "it must be a number",
    "bool": "it must be true or false",
    "string": "it must be text",
    "path": "it must be a path",
    "list": "it must be a list, such as [a, b]",
    "tuple": "it must be a list, such as [a, b]",
    "sequence": "it must be a list, such as [a, b]",
    "set": "it must be a list, such as [a, b]",
    "dict": "it must be a mapping of names to values",
    "mapping": "it must be a mapping of names to values",
    "model": "it must be a mapping of names to values",
}


def _rule(error: ErrorDetails) -> str:
    """What is allowed, in words."""
    kind = error["type"]
    if kind in ("value_error", "assertion_error"):  # a rule of ours, which has its own words
        return str(error["ctx"]["error"]) if "ctx" in error else error["msg"]
    if kind in _RULES:
        limits = error.get("ctx", {})
        return _RULES[kind].format(**{name: f"{x:g}" if isinstance(x, float) else x for name, x in limits.items()})
    return _KINDS.get(kind.partition("_")[0], f"{error['msg'][:1].lower()}{error['msg'][1:]}")
