"""What a user says of a dataset of their own, in a few lines under `sources` of globals.yml, and the rules that follow.

docs/own_source.md walks through every key.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from unichest_kedro.sources.base import SOURCES
from unichest_kedro.sources.options import SourceOptions

KEY = re.compile(r"[a-z][a-z0-9_]*")
"""What the key of a user's own source looks like."""

Split = Literal["train", "val", "test"]
View = Literal["frontal", "lateral", "unknown"]
Uncertain = Literal["ignore", "present", "absent"]


def _as_names(value: object) -> object:
    """One name written alone stands for a list of one."""
    return (value,) if isinstance(value, str) else value


def _as_key(value: object) -> object:
    """A key of YAML as the text that stands in the table: 0 and 1 are numbers to YAML, yes and no truth values."""
    if isinstance(value, bool):
        raise ValueError("YAML reads this word as true or false; write it in quotes, as it stands in the table")
    return str(value) if isinstance(value, int | float) else value


Key = Annotated[str, BeforeValidator(_as_key)]
Word = Annotated[str, BeforeValidator(_as_key), Field(min_length=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_names)]


class _Part(BaseModel):
    """Base of the parts of the options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnColumns(_Part):
    """Which column of the table holds what; only `path` has to be there."""

    path: Word
    patient: Word | None = None
    image_id: Word | None = None
    study: Word | None = None
    split: Word | None = None
    view: Word | None = None
    sex: Word | None = None
    age: Word | None = None
    report: Word | None = None


class OwnLabelList(_Part):
    """One column that lists an image's labels, such as `Mass|Nodule`; a listed label is present.

    `unlisted` says what a label is that an image's list does not hold. An image whose list is blank has no labels.
    """

    column: Word
    separator: str = Field(default="|", min_length=1)
    labels: dict[Word, Names] = Field(min_length=1)
    unlisted: Literal["absent", "not_mentioned"] = "absent"


class OwnBoxColumns(_Part):
    """Which column of the table of boxes holds what; the image is named by `path` or by `image_id`."""

    path: Word | None = None
    image_id: Word | None = None
    label: Word
    x_min: Word
    y_min: Word
    x_max: Word
    y_max: Word

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.path is None) == (self.image_id is None):
            raise ValueError("name the column with the image's path or the one with its image_id, one of the two")
        return self


class OwnBoxes(_Part):
    """The table of boxes, corners in pixels of the original image."""

    table: Word
    columns: OwnBoxColumns


class OwnOptions(SourceOptions):
    """The description of a user's own source.

    `labels` maps a column of the table to the finding or findings that it states, `label_list` the entries of one
    column; an empty list drops a label on purpose. The policies are those of vocabulary.yml, and what the table
    leaves blank is unknown unless the user says otherwise.
    """

    table: Word
    columns: OwnColumns
    splits: dict[Key, Split] = Field(default_factory=dict)
    view: View | None = None
    views: dict[Key, View] = Field(default_factory=dict)
    labels: dict[Word, Names] = Field(default_factory=dict)
    label_list: OwnLabelList | None = None
    boxes: OwnBoxes | None = None
    uncertain: Uncertain = "ignore"
    uncertain_overrides: dict[str, Uncertain] = Field(default_factory=dict)
    not_mentioned: Literal["absent", "unknown"] = "unknown"
    not_mentioned_overrides: dict[str, Literal["absent", "unknown"]] = Field(default_factory=dict)
    no_finding_label: Names = ()
    no_finding_exhaustive: bool = False
    no_finding_silent_on: Names = ()
    report_labels: Literal["none", "fill", "only"] = "none"

    @property
    def mapping(self) -> dict[str, tuple[str, ...]]:
        """Every native label and the findings that it states."""
        return {**self.labels, **(self.label_list.labels if self.label_list else {})}

    def table_path(self, root: Path) -> Path:
        """Where the table is: relative to the source's root, or absolute."""
        return root / Path(self.table).expanduser()

    @model_validator(mode="after")
    def _check(self) -> Self:
        listed = self.label_list.labels if self.label_list else {}
        _require(
            bool(self.mapping) or self.report_labels == "only",
            "there is no label: give `labels` (a column for each), `label_list` (one column of names), or both; or "
            "`report_labels: only`",
        )
        _require(
            self.report_labels == "none" or self.columns.report is not None,
            f"report_labels is {self.report_labels!r}, but `columns` names no report",
        )
        twice = sorted(set(self.labels) & set(listed))
        _require(not twice, f"the label {', '.join(map(repr, twice))} is in `labels` and in `label_list`; keep one")
        for key in ("no_finding_label", "no_finding_silent_on"):
            strange = [label for label in getattr(self, key) if label not in self.mapping]
            _require(not strange, f"{key} names {', '.join(map(repr, strange))}, which is no label of this source")
        _require(
            not self.no_finding_exhaustive or bool(self.no_finding_label),
            "no_finding_exhaustive is true, but no_finding_label is empty; name the label that says nothing was found",
        )
        _require(
            self.columns.view is None or self.view is None,
            "`view` says what every film is, `columns.view` names a column for it; keep one",
        )
        for mapping, column in (("splits", "split"), ("views", "view")):
            _require(
                not getattr(self, mapping) or getattr(self.columns, column) is not None,
                f"`{mapping}` translates the values of a column, but `columns` names no {column}",
            )
        return self


def own_rules(options: OwnOptions | Mapping[str, Any]) -> dict[str, Any]:
    """The mapping and policies of an own source as an entry of the vocabulary's `sources:`.

    Args:
        options: the source's description, validated or as it stands in globals.yml (without `root`).

    Raises:
        SettingsError: the description is wrong.
    """
    if not isinstance(options, OwnOptions):
        options = OwnOptions.checked(options, "sources")
    rules: dict[str, Any] = {
        "own": True,
        "labels": {label: list(findings) for label, findings in options.mapping.items()},
        "uncertain": options.uncertain,
        "uncertain_overrides": dict(options.uncertain_overrides),
        "not_mentioned": options.not_mentioned,
        "not_mentioned_overrides": dict(options.not_mentioned_overrides),
        "readers": "any",
        "no_finding_label": list(options.no_finding_label),
        "no_finding_exhaustive": options.no_finding_exhaustive,
        "no_finding_silent_on": list(options.no_finding_silent_on),
    }
    if options.report_labels != "none":
        rules["report_labels"] = options.report_labels
    return rules


def is_own_key(key: object) -> bool:
    """Whether a key of `sources` is one that a user's own source may have."""
    return isinstance(key, str) and key not in SOURCES and KEY.fullmatch(key) is not None


def _require(holds: bool, otherwise: str) -> None:
    """Raise the message, for pydantic to say where, unless the condition holds."""
    if not holds:
        raise ValueError(otherwise)
