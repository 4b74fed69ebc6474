"""The text beside an image in training (docs/method.md, section 4), and the table of distinct texts."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, field_validator

from unichest_kedro.errors import SettingsError, VocabularyError
from unichest_kedro.reports.entities import BESIDES, Entity, Sentence
from unichest_kedro.reports.markup import closed_text, entities_text, entity_phrase
from unichest_kedro.reports.mentions import report_rows
from unichest_kedro.reports.sections import TEXT_SECTIONS

PRESENT = 1
_KEYS = ("source", "image_id")
_ROWS_AT_ONCE = 100_000


class TextSettings(BaseModel):
    """How reports become training texts: `sections` are the report sections used, in this order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sections: tuple[Literal["findings", "impression"], ...] = TEXT_SECTIONS

    @field_validator("sections")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"sections are {list(value)}; allowed are findings and impression, each at most once")
        return value


def training_texts(
    reports: pd.Series,
    mentions: pd.DataFrame,
    labels: pd.DataFrame,
    prompts: Mapping[str, str],
    settings: TextSettings,
) -> pd.Series:
    """Write the training text of each image.

    With a report that was read: its entities (`report_text`). Without one, or with one that says nothing about
    the film: the names of the present findings, each closed by `[SEP]`. With neither: "".

    Args:
        reports: one report per image, "" where there is none.
        mentions: what those reports say (schema `Mentions`); no rows where the source's reports are not read.
        labels: one row per image in the same order, int8 columns named by finding (1 present, 0 absent, -1
            unknown); columns `source` and `image_id` are ignored.
        prompts: finding to the words it is written with.
        settings: see `TextSettings`.

    Returns:
        Texts with the index of `reports`, dtype str, name "text".

    Raises:
        SettingsError: if `reports` and `labels` differ in length, or the mentions are of other reports.
        VocabularyError: if a label column has no prompt.
    """
    if len(reports) != len(labels):
        raise SettingsError(f"{len(reports)} reports but {len(labels)} label rows; both have one row per image.")
    written = report_texts(mentions, settings)
    rows = report_rows(reports)
    stray = set(written) - set(rows.tolist())
    if stray:
        raise SettingsError(
            f"The mentions tell of a report in row {min(stray)}, where the studies have none. They are of other "
            "studies: run `reports` again."
        )
    from_report = pd.Series([written.get(row, "") for row in rows.tolist()], index=reports.index, dtype="str")
    texts = from_report.where(from_report != "", label_texts(labels, prompts).set_axis(reports.index))
    return texts.astype("str").rename("text")


def report_texts(mentions: pd.DataFrame, settings: TextSettings) -> dict[int, str]:
    """Map each report (`report_row`) to its training text; "" where the sections wanted say nothing."""
    written = {}
    for row, sections in _by_report(mentions):
        sentences = [sentence for name in settings.sections for sentence in sections.get(name, ())]
        written[row] = report_text(sentences)
    return written


def report_text(sentences: Sequence[Sentence]) -> str:
    """Write a report's training text from its sentences, lower case.

    For each sentence its entities, each preceded by `[ENT]`, the sentence closed by `[SEP]`. An entity keeps
    the report's wording and says whether it is denied, doubted or past (`markup.entity_phrase`). What the
    report only asks for ("CT to exclude a nodule") is no entity of the film. A sentence without entities adds
    nothing, unless the whole report has none: then the sentences themselves are written.
    """
    phrases = [_phrases(sentence) for sentence in sentences]
    if not any(phrases):
        return closed_text(" ".join(sentence.text.lower().split()) for sentence in sentences)
    return " ".join(entities_text(of_one) for of_one in phrases if of_one)


def label_texts(labels: pd.DataFrame, prompts: Mapping[str, str]) -> pd.Series:
    """Write the names of each row's present findings, each closed by `[SEP]`, in the order of the columns.

    Returns:
        Texts with the index of `labels`; "" where nothing is present.
    """
    findings = [str(column) for column in labels.columns if column not in _KEYS]
    missing = [finding for finding in findings if finding not in prompts]
    if missing:
        raise VocabularyError(f"No prompt for the label column(s) {', '.join(missing)}; add them to the vocabulary.")
    names = np.array([prompts[finding] for finding in findings], dtype=object)
    present = labels[findings].to_numpy() == PRESENT
    rows, row_of = np.unique(present, axis=0, return_inverse=True)
    texts = np.array([closed_text(names[row]) for row in rows], dtype=object)
    return pd.Series(texts[row_of.ravel()], index=labels.index, dtype="str")


def _phrases(sentence: Sentence) -> list[str]:
    return [
        entity_phrase(
            entity.text.lower(),
            negated=entity.negated,
            uncertain=entity.uncertain or entity.likely,
            historical=entity.historical,
        )
        for entity in sentence.entities
        if entity.finding and not entity.asked and entity.statement != BESIDES
    ]


def _by_report(mentions: pd.DataFrame) -> Iterator[tuple[int, dict[str, list[Sentence]]]]:
    """Yield each report's row and its sentences by section, as they were read."""
    for row, of_report in groupby(_plain_rows(mentions), key=itemgetter(0)):
        sections: dict[str, list[Sentence]] = {}
        for (_, section, text), of_sentence in groupby(of_report, key=itemgetter(1, 2, 3)):
            entities = tuple(entity for *_, entity in of_sentence if entity.text)
            sections.setdefault(section, []).append(Sentence(text, entities))
        yield row, sections


def _plain_rows(mentions: pd.DataFrame) -> Iterator[tuple[int, int, str, str, Entity]]:
    """Yield (report row, sentence number, section, sentence, entity) of each mention, some rows at a time."""
    places = ["report_row", "sentence", "section", "sentence_text"]
    said = ["finding", "words", "negated", "uncertain", "likely", "historical", "asked", "statement"]
    for start in range(0, len(mentions), _ROWS_AT_ONCE):
        some = mentions.iloc[start : start + _ROWS_AT_ONCE]
        columns = [some[name].astype("object").tolist() for name in (*places, *said)]
        for values in zip(*columns, strict=True):
            yield (*values[: len(places)], Entity(*values[len(places) :]))
