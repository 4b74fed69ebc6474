"""The `sources:` of globals.yml: which sources there are, in which folder, with which options."""

import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unichest_kedro.errors import SettingsError, VocabularyError
from unichest_kedro.sources.base import SOURCES, in_order
from unichest_kedro.sources.mimic_cxr import MimicOptions
from unichest_kedro.sources.options import SourceOptions
from unichest_kedro.sources.own_options import KEY, OwnOptions, own_rules

OPTIONS: dict[str, type[SourceOptions]] = {"mimic_cxr": MimicOptions}
"""The known sources that have options."""

RESERVED = (
    *("ablation", "auroc", "benchmark", "box", "boxes", "calibration", "conquer", "continued"),
    *("coverage", "data", "example", "examples", "expert", "experts", "extractor", "films", "findings"),
    *("forest", "gate", "gates", "judged", "leakage", "leaked", "localisation", "mean", "model"),
    *("official", "onnx", "other", "precision", "predicted", "prediction", "predictions", "prompt"),
    *("report", "reports", "roc", "source", "subgroups", "test", "text", "trained", "training"),
    "unichest",
)
"""Words with which the names of shared artefacts begin: a source called so could not be told from them."""


class SourceEntry(NamedTuple):
    """One configured source: its folder, and what else the user says of it (None where there is nothing to say)."""

    root: Path
    options: SourceOptions | None = None

    @property
    def origin(self) -> str:
        """The folder in words, with a digest of the options: two entries of one origin give the same tables."""
        said = self.options.model_dump_json(exclude_defaults=True) if self.options is not None else "{}"
        if said == "{}":
            return str(self.root)
        return f"{self.root} (options {hashlib.sha256(said.encode()).hexdigest()[:8]})"


def check_source_keys(mapping: Mapping[str, object] | None) -> dict[str, SourceEntry]:
    """Check the configured `sources:` (None: nothing configured); its entries in the project's order.

    An entry is a folder, or a mapping of `root` and options; a key that is no known source's is a user's own source.

    Raises:
        SettingsError: an unknown key, a value that is no path, a folder that does not exist, an option that is wrong.
    """
    if mapping is None:
        return {}
    if not isinstance(mapping, Mapping):
        raise SettingsError(
            f"sources: {mapping!r} is not a mapping. Write one line per source, such as "
            "`chexpert: /path/to/CheXpert-v1.0-small`, or leave it empty for the embedded phantoms."
        )
    for key, value in mapping.items():
        _check_key(key, value)
    for key in mapping:
        if f"{key}_report" in mapping:
            raise SettingsError(
                f"sources: {key!r} and '{key}_report' cannot stand side by side, since names of their artefacts would "
                f"be the same ({key}_report_labels). Give the latter another key."
            )
    return {key: source_entry(key, mapping[key]) for key in in_order(mapping)}


def source_entry(key: str, value: object) -> SourceEntry:
    """Check one entry of `sources:`.

    Raises:
        SettingsError: as `check_source_keys`.
    """
    _check_key(key, value)
    said = dict(value) if isinstance(value, Mapping) else {"root": value}
    where = f"sources.{key}.root" if isinstance(value, Mapping) else f"sources.{key}"
    root = _checked_root(where, said.pop("root", None))
    options = options_of(key, said)
    if isinstance(options, OwnOptions) and not options.table_path(root).is_file():
        raise SettingsError(
            f"sources.{key}.table: there is no file {options.table_path(root)}. Give the table of the films, relative "
            f"to {root} or as a whole path."
        )
    return SourceEntry(root, options)


def options_of(key: str, values: Mapping[str, Any]) -> SourceOptions | None:
    """The validated options of a source; None for a source that has none.

    Raises:
        SettingsError: naming the option that is wrong, or that the source has no options.
    """
    where = f"sources.{key}"
    if key not in SOURCES:
        return OwnOptions.checked(values, where)
    if key in OPTIONS:
        return OPTIONS[key].checked(values, where)
    if values:
        raise SettingsError(f"{where}.{next(iter(values))}: unknown key. Allowed here: root.")
    return None


def with_own_sources(vocabulary: Mapping[str, Any], sources: Mapping[str, object] | None) -> dict[str, Any]:
    """The content of a vocabulary file with the rules of the user's own sources added to its `sources:`.

    Args:
        vocabulary: the parsed file, which is left as it is.
        sources: the `sources:` of globals.yml.

    Raises:
        SettingsError: an entry of `sources` is wrong.
        VocabularyError: an own source states a finding that the vocabulary does not have, or the vocabulary file has
            rules for it too.
    """
    content = dict(vocabulary)
    own = {key: value for key, value in (sources or {}).items() if key not in SOURCES}
    if not own:
        return content
    rules = dict(content.get("sources") or {})
    for key, entry in check_source_keys(own).items():
        if key in rules:
            raise VocabularyError(
                f"vocabulary: source {key!r} has rules in the vocabulary file and in globals.yml. Keep those of one."
            )
        rules[key] = own_rules(entry.options)
        _check_findings(key, rules[key], content)
    return {**content, "sources": rules}


def _check_findings(key: str, rules: Mapping[str, Any], vocabulary: Mapping[str, Any]) -> None:
    """Check that an own source states only findings of the vocabulary."""
    known = [str(finding.get("name")) for finding in vocabulary.get("findings") or [] if isinstance(finding, Mapping)]
    named = [(f"the label {label!r}", name) for label, names in rules["labels"].items() for name in names]
    named += [(key, name) for key in ("uncertain_overrides", "not_mentioned_overrides") for name in rules[key]]
    for where, name in named:
        if name not in known:
            by_case = {finding.casefold(): finding for finding in known}
            close = difflib.get_close_matches(name.casefold(), list(by_case), n=1, cutoff=0.6)
            hint = f" Is it {by_case[close[0]]!r}?" if close else ""
            raise VocabularyError(
                f"sources.{key}: {where} names the finding {name!r}, which the vocabulary does not have.{hint} Use a "
                "name from its `findings:`, spelled as there, or [] to drop the label."
            )


def _check_key(key: object, value: object) -> None:
    """Check that a key of `sources` is a known source's, or describes a source of the user's own."""
    if key in SOURCES:
        return
    close = difflib.get_close_matches(str(key), SOURCES, n=1)
    known = f"{f'Is it {close[0]!r}? ' if close else ''}Known sources: {', '.join(SOURCES)}."
    if not isinstance(value, Mapping) or "table" not in value:
        raise SettingsError(
            f"sources: unknown source {key!r}. {known} A source of your own is described by `root`, `table`, "
            "`columns` and `labels` (docs/own_source.md)."
        )
    if not isinstance(key, str) or KEY.fullmatch(key) is None:
        raise SettingsError(
            f"sources: {key!r} cannot be the key of a source. Take a lower-case letter, then lower-case letters, "
            "digits and underscores, such as my_hospital."
        )
    if key.split("_")[0] in RESERVED:
        raise SettingsError(
            f"sources: {key!r} cannot be the key of a source, since names of other artefacts begin with "
            f"{key.split('_')[0]!r}. Take another, such as my_{key}."
        )


def _checked_root(where: str, value: object) -> Path:
    """The folder of one entry of the `sources` mapping."""
    if not isinstance(value, str | Path) or not str(value).strip():
        raise SettingsError(
            f"{where}: {value!r} is not a path. Give the folder of the dataset as text, "
            "or remove the entry to leave the source out."
        )
    root = Path(value).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise SettingsError(
            f"{where}: {root} {what}. Give the folder into which the dataset was unpacked, "
            "or remove the entry to leave the source out."
        )
    return root
