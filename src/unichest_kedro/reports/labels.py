"""What a report says of each finding, as one label: 1 affirmed, -1 uncertain, 0 denied, NaN not mentioned."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from unichest_kedro.errors import SettingsError
from unichest_kedro.reports.mentions import read_mentions
from unichest_kedro.reports.rules import ReadingRules, load_rules
from unichest_kedro.reports.sections import IMPRESSION
from unichest_kedro.reports.settings import LabelSettings
from unichest_kedro.vocabulary import Vocabulary

_SILENT, _DENIED, _UNCERTAIN, _AFFIRMED = range(4)
_VALUES = np.array([np.nan, 0.0, -1.0, 1.0], dtype="float32")


def label_report(text: str, vocabulary: Vocabulary, settings: LabelSettings | None = None) -> dict[str, float]:
    """Read one report; findings that it mentions, by name, each 1 affirmed, -1 uncertain or 0 denied."""
    labels = label_reports([text], vocabulary, settings, progress=False).iloc[0]
    return labels.dropna().to_dict()


def label_reports(
    texts: Iterable[str],
    vocabulary: Vocabulary,
    settings: LabelSettings | None = None,
    *,
    rules: ReadingRules | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Read English chest X-ray reports and say of each finding whether it is there.

    Findings and impression are read; a report without headings is read as a whole. Any affirmation makes 1,
    else any doubt -1, else any denial 0 (`LabelSettings` moves these bounds). What a finding implies by the
    vocabulary is affirmed with it, and where something is affirmed or doubted that excludes "normal" by the
    vocabulary, the film is not normal.

    Args:
        texts: reports as written, line breaks included; a generator will do. A Series keeps its index.
        vocabulary: findings and their synonyms.
        settings: how mentions become labels.
        rules: how to read; the package's own when None.
        progress: whether to show a bar.

    Returns:
        float32, one row per text and one column per finding of the vocabulary, in its order.

    Raises:
        SettingsError: a report is not text, naming its number.
    """
    count = 0

    def numbered() -> Iterable[tuple[int, str]]:
        nonlocal count
        for count, text in enumerate(texts, start=1):
            if not isinstance(text, str):
                raise SettingsError(f"Report {count} is {text!r}, not text. Put '' where there is no report.")
            yield count - 1, text

    total = len(texts) if hasattr(texts, "__len__") else None
    mentions = read_mentions(numbered(), vocabulary.synonyms, rules, total=total, progress=progress)
    labels = labels_of_mentions(mentions, np.arange(count), vocabulary, settings, rules)
    return labels.set_axis(texts.index) if isinstance(texts, pd.Series) else labels


def labels_of_mentions(
    mentions: pd.DataFrame,
    rows: np.ndarray,
    vocabulary: Vocabulary,
    settings: LabelSettings | None = None,
    rules: ReadingRules | None = None,
) -> pd.DataFrame:
    """Turn mentions into labels, one row for each of `rows` (values of `report_row`; -1: no report, all NaN)."""
    settings, rules = settings or LabelSettings(), rules or load_rules()
    reports, report_of = np.unique(mentions["report_row"].to_numpy(), return_inverse=True)
    marks = _marks(mentions, rules, vocabulary, settings)
    said = _said(marks, report_of, len(reports), vocabulary, settings)
    _imply(said, vocabulary)
    _contradict_normal(said, vocabulary)
    place = np.searchsorted(reports, rows).clip(max=max(len(reports) - 1, 0))
    found = (reports[place] == rows) if len(reports) else np.zeros(len(rows), bool)
    values = np.full((len(rows), len(vocabulary.findings)), np.nan, dtype="float32")
    values[found] = _VALUES[said[place[found]]]
    return pd.DataFrame(values, columns=list(vocabulary.findings))


def _marks(
    mentions: pd.DataFrame, rules: ReadingRules, vocabulary: Vocabulary, settings: LabelSettings
) -> pd.DataFrame:
    """What each mention says: `row` of the mentions, `finding` (number), `level`, `impression`."""
    number = {finding: place for place, finding in enumerate(vocabulary.findings)}
    flags = {name: mentions[name].to_numpy() for name in ("negated", "uncertain", "likely", "historical", "asked")}
    level = np.full(len(mentions), _AFFIRMED, dtype="int8")
    level[flags["uncertain"]] = _UNCERTAIN
    if settings.likely == "uncertain":
        level[flags["likely"]] = _UNCERTAIN
    level[flags["negated"]] = _DENIED
    statement = mentions["statement"].astype("object").to_numpy()
    finding = mentions["finding"].map(number).astype("float64").fillna(-1).to_numpy("int64")
    counts = (finding >= 0) & ~flags["historical"] & ~flags["asked"] & ~_of_parts(mentions, rules)
    parts = [_mark(np.flatnonzero(counts), finding[counts], level[counts])]
    for name, rule in rules.normality.items():
        at = np.flatnonzero(statement == name)
        denied = [number[one] for one in rule.denies if one in number]
        parts += [_mark(at, np.full(len(at), one), np.full(len(at), _DENIED)) for one in denied]
    marks = pd.concat(parts, ignore_index=True)
    return marks.assign(impression=(mentions["section"] == IMPRESSION).to_numpy()[marks["row"]])


def _mark(row: np.ndarray, finding: np.ndarray, level: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"row": row, "finding": finding, "level": level.astype("int8")})


def _of_parts(mentions: pd.DataFrame, rules: ReadingRules) -> np.ndarray:
    """Which mentions call a part of the film normal, which makes no film normal."""
    partial = [name for name, rule in rules.normality.items() if rule.states is None]
    worded = mentions["words"].isin(rules.words_for_parts) & (mentions["finding"] == "normal")
    return (mentions["statement"].isin(partial) | worded).to_numpy()


def _said(
    marks: pd.DataFrame, report_of: np.ndarray, reports: int, vocabulary: Vocabulary, settings: LabelSettings
) -> np.ndarray:
    """The level of each finding in each report, int8 (reports, findings): the highest that is said of it."""
    shape = (reports, len(vocabulary.findings))
    said, last = np.zeros(shape, dtype="int8"), np.zeros(shape, dtype="int8")
    place = (report_of[marks["row"]], marks["finding"].to_numpy())
    np.maximum.at(said, place, marks["level"].to_numpy())
    if settings.contradiction == "impression":
        late = marks["impression"].to_numpy()
        np.maximum.at(last, (place[0][late], place[1][late]), marks["level"].to_numpy()[late])
        said = np.where(last > _SILENT, last, said)
    return said


def _imply(said: np.ndarray, vocabulary: Vocabulary) -> None:
    """Affirm, in place, what an affirmed finding implies."""
    number = {finding: place for place, finding in enumerate(vocabulary.findings)}
    for finding, implied in vocabulary.relations().implies.items():
        for other in implied:
            if other not in vocabulary.normal_findings:
                present = said[:, number[finding]] == _AFFIRMED
                said[present, number[other]] = _AFFIRMED


def _contradict_normal(said: np.ndarray, vocabulary: Vocabulary) -> None:
    """Deny, in place, that a film is normal where it shows, or may show, what the vocabulary says excludes that."""
    excludes = vocabulary.relations().excludes
    for normal in vocabulary.normal_findings:
        against = [place for place, name in enumerate(vocabulary.findings) if normal in excludes[name]]
        ill = (said[:, against] >= _UNCERTAIN).any(axis=1)
        said[ill, vocabulary.findings.index(normal)] = _DENIED
