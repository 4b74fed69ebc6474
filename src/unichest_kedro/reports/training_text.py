"""The text beside an image in training (METHOD.md, section 4), and the table of distinct texts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from unichest_kedro.errors import SettingsError, VocabularyError
from unichest_kedro.reports.entities import EntityExtractor, Sentence
from unichest_kedro.reports.markup import closed_text, entities_text, entity_phrase
from unichest_kedro.reports.sections import TEXT_SECTIONS, parse_sections, select_text

PRESENT = 1
_KEYS = ("source", "image_id")


class TextSettings(BaseModel):
    """How reports become training texts.

    `sections` are the report sections read, in this order; `batch_size` is the number of reports read at
    once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sections: tuple[Literal["findings", "impression"], ...] = TEXT_SECTIONS
    batch_size: int = Field(default=512, ge=1)

    @field_validator("sections")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"sections are {list(value)}; allowed are findings and impression, each at most once")
        return value


def training_texts(
    reports: pd.Series,
    labels: pd.DataFrame,
    synonyms: Mapping[str, Sequence[str]],
    prompts: Mapping[str, str],
    settings: TextSettings,
) -> pd.Series:
    """Write the training text of each image.

    With a report: its entities (`report_text`). Without one, or with one that says nothing about the film:
    the names of the present findings, each closed by `[SEP]`. With neither: "".

    Each distinct report is read once.

    Args:
        reports: one report per image, "" where there is none.
        labels: one row per image in the same order, int8 columns named by finding (1 present, 0 absent, -1
            unknown); columns `source` and `image_id` are ignored.
        synonyms: finding to its synonyms, what to look for in reports.
        prompts: finding to the words it is written with.
        settings: see `TextSettings`.

    Returns:
        Texts with the index of `reports`, dtype str, name "text".

    Raises:
        SettingsError: if `reports` and `labels` differ in length.
        VocabularyError: if a label column has no prompt.
    """
    if len(reports) != len(labels):
        raise SettingsError(f"{len(reports)} reports but {len(labels)} label rows; both have one row per image.")
    from_report = reports.map(report_texts(reports.unique(), synonyms, settings))
    texts = from_report.where(from_report != "", label_texts(labels, prompts).set_axis(reports.index))
    return texts.astype("str").rename("text")


def report_texts(
    reports: Iterable[str], synonyms: Mapping[str, Sequence[str]], settings: TextSettings
) -> dict[str, str]:
    """Map each distinct report to its training text; "" for a report that says nothing about the film."""
    bodies = {report: select_text(parse_sections(report), settings.sections) for report in reports}
    distinct = [body for body in dict.fromkeys(bodies.values()) if body]
    if not distinct:
        return dict.fromkeys(bodies, "")
    extracted = EntityExtractor(synonyms).extract(distinct, batch_size=settings.batch_size)
    written = {body: report_text(sentences) for body, sentences in zip(distinct, extracted, strict=True)}
    return {report: written.get(body, "") for report, body in bodies.items()}


def report_text(sentences: Sequence[Sentence]) -> str:
    """Write a report's training text from its sentences, lower case.

    For each sentence its entities, each preceded by `[ENT]`, the sentence closed by `[SEP]`. An entity keeps
    the report's wording and says whether it is denied or doubted (`markup.entity_phrase`). A sentence without
    entities adds nothing, unless the whole report has none: then the sentences themselves are written.
    """
    with_entities = [sentence for sentence in sentences if sentence.entities]
    if not with_entities:
        return closed_text(" ".join(sentence.text.lower().split()) for sentence in sentences)
    return " ".join(entities_text(_phrases(sentence)) for sentence in with_entities)


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
        entity_phrase(entity.text.lower(), negated=entity.negated, uncertain=entity.uncertain)
        for entity in sentence.entities
    ]
