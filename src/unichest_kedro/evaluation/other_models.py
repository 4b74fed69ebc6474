"""Other models beside ours: their predictions read from a CSV file, in the same table of scores.

Such a file has the columns `image, finding, score`, and `source` where an image's name is not unique among the sources.
Films, labels and splits are those of our own scores; the file only says what its model answers.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from unichest_kedro.errors import SettingsError, UniChestError
from unichest_kedro.evaluation.leaks import is_leaked
from unichest_kedro.sources import SOURCES
from unichest_kedro.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

COLUMNS = ("image", "finding", "score")
EXAMPLES = 3
"""Of what is wrong, so many are named."""

_KEY = ["source", "image_id", "finding"]


class OtherModel(BaseModel):
    """One other model: a file of its `predictions`, or a `folder` with a model such as an imported checkpoint.

    `trained_on` names the sources that it has been trained on, as far as known: its results there are in-domain, and
    films of other sources that repeat films of these are left out. A model folder may say so itself. With
    `allow_missing` a file may lack films and findings: then all models are compared on the films that all of them
    have.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    predictions: Path | None = None
    folder: Path | None = None
    trained_on: tuple[Annotated[str, Field(min_length=1)], ...] | None = None
    allow_missing: bool = False

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.predictions is None) == (self.folder is None):
            raise ValueError("give `predictions` (a CSV file) or `folder` (a model folder), one of the two")
        if self.predictions is not None and self.trained_on is None:
            raise ValueError("`trained_on` is missing: name the sources that the model was trained on, [] for none")
        return self


class OtherModels(RootModel[dict[Annotated[str, Field(min_length=1)], OtherModel]]):
    """Other models by their title in tables and figures."""

    model_config = ConfigDict(frozen=True)

    @property
    def predictions(self) -> dict[str, OtherModel]:
        """Those that are a file of predictions."""
        return {title: one for title, one in self.root.items() if one.predictions is not None}

    @property
    def folders(self) -> dict[str, OtherModel]:
        """Those that are a model folder."""
        return {title: one for title, one in self.root.items() if one.folder is not None}


def check_other_models(models: OtherModels, own: Sequence[str], sources: Sequence[str]) -> None:
    """Check what can be checked before any film is read.

    Args:
        models: The other models.
        own: Titles of our models.
        sources: Keys of all known sources, a user's own included.

    Raises:
        SettingsError: a title is one of ours, a file or folder is not there, or `trained_on` names no source.
    """
    for title, one in models.root.items():
        where = f"other_models: {title}"
        if title in own:
            raise SettingsError(f"{where}: this is the title of one of our models; choose another")
        for path, exists in ((one.predictions, Path.is_file), (one.folder, Path.is_dir)):
            if path is not None and not exists(path):
                raise SettingsError(f"{where}: {path} is not there; correct the path")
        for source in one.trained_on or ():
            if source not in sources:
                raise SettingsError(
                    f"{where}: trained_on: unknown source {source!r}. Known sources: {', '.join(sources)}. Leave out a "
                    "data set that is none of these."
                )


def read_predictions(
    title: str,
    model: OtherModel,
    ours: pd.DataFrame,
    leaked_films: pd.DataFrame,
    vocabulary: Vocabulary,
) -> pd.DataFrame:
    """Read a model's predictions and lay them beside our scores.

    A finding is named as in the vocabulary, or in the benchmark's words (`query`), in any case. A source of which the
    file has no film at all is one that the model was not asked about. Predictions of other films (of training, say) and
    of findings that the vocabulary knows but the benchmarks do not ask are passed over and counted in the log.
    Validation films count as well: where they are there, thresholds are chosen on them.

    Args:
        title: What the `model` column will say.
        model: Where its predictions are, and what it was trained on.
        ours: `Scores` of one of our models on all films, for films, labels and splits.
        leaked_films: `LeakedFilms`.
        vocabulary: The unified vocabulary.

    Returns:
        `Scores`; the fingerprint is the SHA-256 of the file.

    Raises:
        UniChestError: the file cannot be read or lacks a column; a score is no number from 0 to 1; a film and finding
            stands twice; a name is a film of several sources, or no finding; no prediction is of a scored film; or
            test films or findings are missing, unless `allow_missing`.
    """
    where = f"other_models: {title}: {model.predictions}"
    table = _read(model.predictions, where)
    table = _with_findings(table, ours, vocabulary, where)
    table = _with_sources(table, ours, where)
    twice = table.duplicated(_KEY)
    if twice.any():
        first = table[twice].iloc[0]
        raise UniChestError(
            f"{where}: {int(twice.sum()):,} films and findings stand twice, for example {first['image_id']}, "
            f"{first['finding']}; keep one score of each"
        )
    films = ours.drop(columns=["model", "score", "fingerprint", "trained_on", "leaked"])
    scores = films.merge(table, on=_KEY, how="inner", validate="one_to_one")
    if scores.empty:
        raise UniChestError(f"{where}: not one prediction is of a film and finding that a benchmark asks")
    unused = len(table) - len(scores)
    if unused:
        logger.warning(
            "%s: %s predictions are of no film and finding that is scored: passed over.", title, f"{unused:,}"
        )
    scores = _complete(scores, films, model, where)
    digest = hashlib.sha256(model.predictions.read_bytes()).hexdigest()
    trained_on = model.trained_on or ()
    scores = scores.assign(
        model=title,
        fingerprint=digest,
        trained_on=scores["source"].isin(list(trained_on)),
        leaked=is_leaked(scores, leaked_films, trained_on),
    )
    return scores[list(ours.columns)].astype({"model": "str", "fingerprint": "str"}).reset_index(drop=True)


def films_of_all(scores: pd.DataFrame, models: OtherModels) -> tuple[pd.DataFrame, dict[str, str]]:
    """The scores of the films that every model which answers a benchmark has answered.

    Films are taken away only where a model that may lack some (`allow_missing`) does.

    Args:
        scores: `Scores` of all models with a column `benchmark`.
        models: The other models.

    Returns:
        These scores; and by benchmark, in words, how many films were left out and for which models.
    """
    may_lack = {title for title, one in models.root.items() if one.allow_missing}
    kept, notes = [], {}
    for benchmark, part in scores.groupby("benchmark", sort=False):
        films = {str(model): set(of_model["image_id"]) for model, of_model in part.groupby("model", sort=False)}
        everything, common = set().union(*films.values()), set.intersection(*films.values())
        lacking = {title: len(everything - answered) for title, answered in films.items() if answered != everything}
        # Where another model lacks some, that is a mistake, which is found when all are laid side by side.
        if lacking and set(lacking) <= may_lack:
            counts = ", ".join(f"{title} ({count:,})" for title, count in lacking.items())
            left_out = f"{len(everything - common):,} film{'s' if len(everything - common) > 1 else ''} left out"
            notes[str(benchmark)] = f"{left_out}, because a model has no prediction of them: {counts}"
            part = part[part["image_id"].isin(common)]
        kept.append(part)
    return (pd.concat(kept, ignore_index=True) if kept else scores), notes


def not_asked(scores: pd.DataFrame) -> dict[str, str]:
    """By benchmark, in words, which models answer nothing there, or not every finding.

    Args:
        scores: `Scores` of all models with a column `benchmark`.
    """
    models = list(scores["model"].unique())
    notes: dict[str, list[str]] = {}
    for benchmark, part in scores.groupby("benchmark", sort=False):
        answered = part.groupby("model", sort=False)["finding"].agg(lambda names: set(names.unique()))
        everything = set().union(*answered)
        for model in models:
            missing = sorted(everything - answered.get(model, set()))
            if len(missing) == len(everything):
                notes.setdefault(str(benchmark), []).append(f"{model} gives no prediction")
            elif missing:
                notes.setdefault(str(benchmark), []).append(f"{model} does not answer {', '.join(missing)}")
    return {benchmark: "; ".join(words) for benchmark, words in notes.items()}


def _read(path: Path, where: str) -> pd.DataFrame:
    """The file's columns as text, and the scores as numbers."""
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise UniChestError(f"{where}: cannot be read as a CSV file ({error})") from error
    table.columns = [str(name).strip().lower() for name in table.columns]
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise UniChestError(
            f"{where}: there is no column {', '.join(missing)}; needed are {', '.join(COLUMNS)}, and source where a "
            "film's name is not unique. Columns there: " + ", ".join(table.columns)
        )
    if table.empty:
        raise UniChestError(f"{where}: the file has no row")
    number = pd.to_numeric(table["score"], errors="coerce")
    wrong = ~number.between(0, 1)
    if wrong.any():
        examples = ", ".join(repr(text) for text in table.loc[wrong, "score"].head(EXAMPLES))
        raise UniChestError(
            f"{where}: {int(wrong.sum()):,} of {len(table):,} scores are no probabilities from 0 to 1, for example "
            f"{examples}; turn logits into probabilities, and give every row a score"
        )
    return table.assign(score=number.astype("float64"))


def _with_findings(table: pd.DataFrame, ours: pd.DataFrame, vocabulary: Vocabulary, where: str) -> pd.DataFrame:
    """The table with the vocabulary's names of findings."""
    names = {_plain(prompt): finding for finding, prompt in vocabulary.prompts.items()}
    queries = ours[["query", "finding"]].drop_duplicates()
    names |= {_plain(query): finding for query, finding in queries.itertuples(index=False)}
    names |= {_plain(finding): finding for finding in vocabulary.findings}
    given = {word: names.get(_plain(word)) for word in table["finding"].unique()}
    unknown = [word for word, finding in given.items() if finding is None]
    if unknown:
        asked = ", ".join(ours["finding"].unique())
        raise UniChestError(
            f"{where}: {len(unknown)} findings are unknown, for example {', '.join(map(repr, unknown[:EXAMPLES]))}; "
            f"rename them, or take their rows out. Asked are: {asked}"
        )
    return table.assign(finding=table["finding"].map(given))


def _with_sources(table: pd.DataFrame, ours: pd.DataFrame, where: str) -> pd.DataFrame:
    """The table with `source` and `image_id`; rows of films that are not scored have a source of their own, ""."""
    table = table.rename(columns={"image": "image_id"})
    films = ours[["source", "image_id"]].drop_duplicates()
    if "source" in table.columns:
        known = [*dict.fromkeys([*films["source"], *SOURCES])]
        unknown = table.loc[~table["source"].isin(known), "source"]
        if len(unknown):
            raise UniChestError(
                f"{where}: the column source says {unknown.iloc[0]!r} ({len(unknown):,} rows name no source). Known "
                f"sources: {', '.join(known)}"
            )
        return table[[*_KEY, "score"]]
    ambiguous = films[films["image_id"].duplicated(keep=False) & films["image_id"].isin(table["image_id"])]
    if len(ambiguous):
        name = ambiguous["image_id"].iloc[0]
        sources = ", ".join(ambiguous.loc[ambiguous["image_id"] == name, "source"])
        raise UniChestError(
            f"{where}: {ambiguous['image_id'].nunique():,} names are films of several sources, for example {name} "
            f"({sources}); add a column source"
        )
    source = table["image_id"].map(dict(zip(films["image_id"], films["source"]))).fillna("")
    return table.assign(source=source)[[*_KEY, "score"]]


def _complete(scores: pd.DataFrame, films: pd.DataFrame, model: OtherModel, where: str) -> pd.DataFrame:
    """The scores, each film with every finding of its source that the file has.

    Validation films are there as a whole or not at all; test films may be missing only where that is allowed.
    """
    parts = []
    for (source, split), wanted in films.groupby(["source", "split"], sort=False):
        part = scores[(scores["source"] == source) & (scores["split"] == split)]
        if part.empty:
            if split == "test" and (scores["source"] == source).any() and not model.allow_missing:
                raise UniChestError(f"{where}: no test film of {source} is in it, though other films of {source} are")
            continue
        findings = set(part["finding"].unique())
        absent = [finding for finding in wanted["finding"].unique() if finding not in findings]
        count = part.groupby("image_id", sort=False)["finding"].nunique().reindex(wanted["image_id"].unique())
        short = count.index[count.fillna(0) < len(findings)]
        if (absent or len(short)) and not model.allow_missing:
            raise UniChestError(_incomplete(where, str(source), str(split), absent, short, len(count)))
        parts.append(part[~part["image_id"].isin(short)])
    kept = pd.concat(parts, ignore_index=True) if parts else scores.iloc[:0]
    if not (kept["split"] == "test").any():
        raise UniChestError(f"{where}: not one test film has a score for every finding; nothing can be judged")
    return kept


def _incomplete(where: str, source: str, split: str, absent: Sequence[str], short: pd.Index, films: int) -> str:
    lacks = []
    if absent:
        lacks.append(f"the findings {', '.join(absent)}")
    if len(short):
        lacks.append(f"scores of {len(short):,} of {films:,} films, for example {', '.join(short[:EXAMPLES])}")
    return (
        f"{where}: of the {split} films of {source} it lacks {' and '.join(lacks)}. Add them, or set allow_missing: "
        "true, so that all models are compared on what all have"
    )


def _plain(words: str) -> str:
    return " ".join(words.lower().replace("_", " ").split())
