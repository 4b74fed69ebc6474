"""What the reports of a source say, as one table: every mention of a finding in each distinct report."""

from array import array
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from unichest_kedro.reports.entities import Entity, EntityExtractor
from unichest_kedro.reports.rules import ReadingRules
from unichest_kedro.reports.sections import TEXT_SECTIONS, parse_sections

FLAGS = ("negated", "uncertain", "likely", "historical", "asked")
WORDS = ("section", "sentence_text", "finding", "words", "statement")
NUMBERS = ("report_row", "sentence", "start", "end")
"""Columns of the table (schema `Mentions`): truths, words and whole numbers."""


def distinct_reports(reports: pd.Series) -> pd.Series:
    """The distinct reports that are not blank, indexed by the first row (position) that has each.

    The images of one study share a report; whatever is said of reports is kept once, under that row.
    """
    first = pd.Series(reports.to_numpy(), dtype="str")
    first = first[first.str.strip() != ""]
    return first[~first.duplicated()]


def report_rows(reports: pd.Series) -> np.ndarray:
    """The row that stands for each image's report (`distinct_reports`), int64 (images); -1 where there is none."""
    texts = reports.astype("object").to_numpy()
    distinct = distinct_reports(reports)
    row_of = dict(zip(distinct, distinct.index, strict=True))
    return np.array([row_of.get(text, -1) for text in texts], dtype="int64")


def read_mentions(
    reports: Iterable[tuple[int, str]],
    synonyms: Mapping[str, Sequence[str]],
    rules: ReadingRules | None = None,
    *,
    total: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Read reports one after the other and list what they say.

    Memory grows with the number of mentions (some 30 bytes each) and of distinct words and sentences, not with
    the reports' text; `reports` may be a generator.

    Args:
        reports: (row, report as written) of each distinct report.
        synonyms: finding name to its synonyms.
        rules: how to read; the package's own when None.
        total: number of reports for the progress bar, where it is known.
        progress: whether to show the bar.

    Returns:
        Schema `Mentions`: rows in the order of the reports and of their words. A sentence without any mention
        is a row with finding and words "", so that nothing of findings and impression is lost.
    """
    extractor = EntityExtractor(synonyms, rules)
    table = _Table()
    for row, report in tqdm(reports, total=total, desc="Reading reports", unit="report", disable=not progress):
        sections = parse_sections(report)
        number = 0
        for section in TEXT_SECTIONS:
            for sentence in extractor.read(sections.get(section, "")):
                for entity in sentence.entities or (_NOTHING_SAID,):
                    table.add(row, number, section, sentence.text, entity)
                number += 1
    return table.frame()


_NOTHING_SAID = Entity("", "", False, False)


class _Table:
    """Collects mentions column by column in compact arrays; each distinct word is kept once."""

    def __init__(self) -> None:
        self._numbers = {name: array("i") for name in NUMBERS}
        self._flags = array("B")
        self._codes = {name: array("i") for name in WORDS}
        self._known: dict[str, dict[str, int]] = {name: {} for name in WORDS}

    def add(self, row: int, number: int, section: str, sentence: str, entity: Entity) -> None:
        """Add one mention; its flags become the bits of one byte."""
        numbers, codes, known = self._numbers, self._codes, self._known
        numbers["report_row"].append(row)
        numbers["sentence"].append(number)
        numbers["start"].append(entity.start)
        numbers["end"].append(entity.end)
        self._flags.append(
            entity.negated | entity.uncertain << 1 | entity.likely << 2 | entity.historical << 3 | entity.asked << 4
        )
        words = (section, sentence, entity.finding, entity.text, entity.statement)
        for name, word in zip(WORDS, words, strict=True):
            of_name = known[name]
            codes[name].append(of_name.setdefault(word, len(of_name)))

    def frame(self) -> pd.DataFrame:
        """All mentions as a table; word columns are categorical."""
        columns: dict[str, object] = {name: _as_numbers(values) for name, values in self._numbers.items()}
        for name in WORDS:
            categories = pd.Index(list(self._known[name]), dtype="str")
            columns[name] = pd.Categorical.from_codes(_as_numbers(self._codes[name]), categories)
        flags = np.frombuffer(self._flags, dtype="uint8") if self._flags else np.empty(0, "uint8")
        for bit, name in enumerate(FLAGS):
            columns[name] = (flags >> bit & 1).astype(bool)
        return pd.DataFrame(columns)


def _as_numbers(values: array) -> np.ndarray:
    return np.frombuffer(values, dtype="int32") if values else np.empty(0, "int32")


def no_mentions() -> pd.DataFrame:
    """The table of a source whose reports are not read, or that has none."""
    return _Table().frame()
