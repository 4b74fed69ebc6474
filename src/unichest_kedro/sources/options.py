"""What a source can be told next to its `root`: the base of the option models, and how their errors are worded."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from unichest_kedro.errors import SettingsError


class SourceOptions(BaseModel):
    """Base of a source's options: no unknown keys, no changes once made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def checked(cls, values: Mapping[str, Any], where: str) -> Self:
        """The options of a configured mapping; `where` names it in messages.

        Raises:
            SettingsError: naming the first field that is wrong, its value, and what is allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise SettingsError(_first_problem(error, where, cls)) from None


def _first_problem(error: ValidationError, where: str, model: type[BaseModel]) -> str:
    """The first thing pydantic objects to, in words that name field, value and what is allowed."""
    # A misspelt key is also a missing one: the spelling is what the user has to see.
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    first, location = problems[0], problems[0]["loc"]
    field = ".".join(str(part) for part in (where, *location) if part != "[key]")
    if first["type"] == "extra_forbidden":
        allowed = [*([] if location[:-1] else ["root"]), *_keys_at(model, location[:-1])]
        return f"{field}: unknown key. Allowed here: {', '.join(allowed)}."
    if first["type"] == "missing":
        return f"{field}: missing. Add it."
    if first["input"] is None and location:
        return f"{field}: nothing is said. Give a value ([] where a label is dropped on purpose), or remove the key."
    message = first["msg"].removeprefix("Value error, ")
    if not location:
        return f"{field}: {message}."
    return f"{field}: {first['input']!r} is not allowed: {message[:1].lower()}{message[1:]}."


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model that stands at a location inside a model."""
    for part in location:
        hint = model.model_fields[str(part)].annotation
        parts = getattr(hint, "__args__", (hint,))
        model = next(kind for kind in parts if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(model.model_fields)
