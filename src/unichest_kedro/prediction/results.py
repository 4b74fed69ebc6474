"""Answers of any number of films, kept in part files: a stopped run goes on, and memory does not grow with pixels.

A part is a Parquet file of some films, written under another name and renamed when it is whole. Parts lie in a folder
named after everything but the films that an answer depends on: the weights, the words asked, how films are prepared and
judged. A film is known by its path, size and time of change. So a second run answers only what is new or changed, and a
run with another model or other findings begins anew, beside the first.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor
from tqdm import tqdm

from unichest_kedro.evaluation.calibration import Calibrations
from unichest_kedro.imaging.decode import DECODER_VERSION
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.prediction.answers import Answered, Seen, answer, stored_size
from unichest_kedro.prediction.film_check import CHECK_VERSION
from unichest_kedro.prediction.questions import Questions
from unichest_kedro.prediction.settings import PredictSettings
from unichest_kedro.prediction.speed import resolve
from unichest_kedro.prediction.table import films_table, predictions_table

logger = logging.getLogger(__name__)

PART_PATTERN = "part-*.parquet"
FORMAT_VERSION = 1
NOT_THERE = "file is not there"

_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("error", pa.string()),
        ("warning", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("frontal", pa.float64()),
        ("probabilities", pa.list_(pa.float64())),
        ("gates", pa.list_(pa.float64())),
    ]
)
_FILMS_AT_ONCE = 1024
_NAMED = 5


@dataclass(frozen=True)
class Results:
    """All answers of a run, on disk; tables are made from them a piece at a time.

    Attributes:
        folder: Where the parts are.
        films: Columns `film`, `path`, `key` ("" for a file that is not there), one row per film.
        place: Part file of each key.
        questions: What was asked.
        experts: K, the gate's weights per film.
        calibrations: Of the model folder.
        answer_anyway: Whether films with a warning keep their answers.
        absent: Why a film could not even be looked at, by film.
    """

    folder: Path
    films: pd.DataFrame
    place: dict[str, str]
    questions: Questions
    experts: int
    calibrations: Calibrations | None
    answer_anyway: bool
    absent: dict[str, str] = field(default_factory=dict)

    def predictions(self) -> Iterator[pd.DataFrame]:
        """Schema `Predictions`, some films at a time; at least one table, which may be empty."""
        for films, answered in self._pieces():
            yield predictions_table(
                films,
                answered.probabilities,
                answered.gates,
                self.questions,
                self.calibrations,
                answer_anyway=self.answer_anyway,
            )

    def film_table(self) -> pd.DataFrame:
        """Schema `PredictedFilms`."""
        pieces = self._pieces(with_answers=False)
        return pd.concat([films for films, _ in pieces], ignore_index=True)

    def answered(self) -> Iterator[tuple[pd.Series, np.ndarray]]:
        """Films that are answered in the tables (a row of `PredictedFilms`), with their probabilities (Q,)."""
        kept = ("answered", "warned") if self.answer_anyway else ("answered",)
        for films, answered in self._pieces():
            for row in np.flatnonzero(films["status"].isin(kept)):
                yield films.iloc[row], answered.probabilities[row]

    def _pieces(self, with_answers: bool = True) -> Iterator[tuple[pd.DataFrame, Answered]]:
        for start in range(0, max(1, len(self.films)), _FILMS_AT_ONCE):
            piece = self.films.iloc[start : start + _FILMS_AT_ONCE]
            answered = self._read(list(piece["key"]), list(piece["film"]), with_answers)
            yield films_table(piece, answered.seen), answered

    def _read(self, keys: list[str], names: list[str], with_answers: bool) -> Answered:
        """What is known of some films, in their order; each part is read once."""
        probabilities = np.full((len(keys), len(self.questions.findings)), np.nan)
        gates = np.full((len(keys), self.experts), np.nan)
        seen = [Seen(self.absent.get(name, NOT_THERE), "", 0, 0, float("nan")) for name in names]
        rows: dict[str, list[int]] = {}
        for row, key in enumerate(keys):
            rows.setdefault(key, []).append(row)
        columns = ["key", *Seen._fields, *(("probabilities", "gates") if with_answers else ())]
        for part in dict.fromkeys(self.place[key] for key in keys if key in self.place):
            table = pq.read_table(self.folder / part, columns=columns)
            stored = table["key"].to_pylist()
            # A film that was answered again later is taken from the later part.
            pairs = [
                (i, row) for i, key in enumerate(stored) if self.place.get(key) == part for row in rows.get(key, ())
            ]
            records = list(zip(*(table[name].to_pylist() for name in Seen._fields)))
            for i, row in pairs:
                seen[row] = Seen(*records[i])
            if with_answers and pairs:
                theirs, ours = (np.array(places) for places in zip(*pairs))
                probabilities[ours] = _matrix(table["probabilities"])[theirs]
                gates[ours] = _matrix(table["gates"])[theirs]
        return Answered(tuple(seen), probabilities, gates)


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A column of lists of one length as float64 (rows, length)."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def predict_films(
    model: UniChest,
    questions: Questions,
    films: pd.DataFrame,
    settings: PredictSettings,
    folder: Path,
    calibrations: Calibrations | None = None,
) -> Results:
    """Answer films, going on from what an earlier run has answered.

    Films that could not be read are tried again each time, since they may have been mended.

    Args:
        model: On the device it is to run on.
        questions: What is asked.
        films: Columns `film` (unique) and `path` (`inputs.list_films`).
        settings: Batches, workers, precision.
        folder: Where parts are kept, in a folder of their own for each model and set of findings.
        calibrations: Of the model folder.

    Raises:
        UniChestError: an answer is no probability.
    """
    own = folder / run_key(model, questions, settings)
    own.mkdir(parents=True, exist_ok=True)
    for left in own.glob(".*.writing"):
        left.unlink(missing_ok=True)
    films, absent = _with_keys(films)
    place = _place(own)
    pending = films[(films["key"] != "") & ~films["key"].isin(list(place))].drop_duplicates("key")
    done = len(films) - len(pending) - len(absent)
    if done and len(pending):
        logger.info("Going on: %d of %d films are answered already.", done, len(films))
    place |= _answer_all(model, questions, pending, settings, own)
    results = Results(
        own, films, place, questions, model.settings.experts, calibrations, settings.answer_anyway, absent
    )
    _say(results)
    return results


def run_key(model: UniChest, questions: Questions, settings: PredictSettings) -> str:
    """What an answer depends on beside the film, as 16 hexadecimal digits."""

    def digest(queries: Tensor) -> str:
        return blake2b(queries.cpu().numpy().tobytes(), digest_size=16).hexdigest()

    about = {
        "model": model.fingerprint(),
        "rounds": [(digest(one.queries), one.take, one.put) for one in questions.rounds],
        "findings": questions.findings,
        "stored": stored_size(model),
        "size": model.settings.image_size,
        "lam": (model.settings.lam_fine, model.settings.lam_global, model.settings.heads),
        "precision": str(resolve(settings.precision, model)),
        "versions": (FORMAT_VERSION, DECODER_VERSION, CHECK_VERSION),
    }
    return blake2b(json.dumps(about).encode(), digest_size=8).hexdigest()


def film_key(path: Path) -> str:
    """What identifies a film: the file as it is now. Raises `OSError` where it cannot be looked at."""
    about = path.stat()
    return blake2b(f"{path}|{about.st_size}|{about.st_mtime_ns}".encode(), digest_size=16).hexdigest()


def _with_keys(films: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Films with the column `key`, and why some have none, by film."""
    keys, absent = [], {}
    for film, path in zip(films["film"], films["path"]):
        try:
            keys.append(film_key(Path(path)))
        except OSError as error:
            keys.append("")
            missing = isinstance(error, FileNotFoundError)
            absent[film] = NOT_THERE if missing else f"file cannot be read: {error.strerror or error}"
    return films.reset_index(drop=True).assign(key=pd.Series(keys, dtype="str")), absent


def _place(folder: Path) -> dict[str, str]:
    """Part of each film that was read; a damaged part is removed, so that its films are answered again."""
    place = {}
    for path in sorted(folder.glob(PART_PATTERN)):
        try:
            known = pq.read_table(path, columns=["key", "error"]).to_pandas()
        except (OSError, pa.ArrowException):
            logger.warning("%s is damaged and is made anew.", path)
            path.unlink(missing_ok=True)
            continue
        place |= dict.fromkeys(known.loc[known["error"] == "", "key"], path.name)
    return place


def _answer_all(
    model: UniChest, questions: Questions, pending: pd.DataFrame, settings: PredictSettings, folder: Path
) -> dict[str, str]:
    """Answer films into parts; returns the part of each key."""
    place: dict[str, str] = {}
    keys, waiting = list(pending["key"]), []
    batches = answer(
        model,
        questions,
        list(pending["path"]),
        batch_size=settings.batch_size,
        workers=min(settings.num_workers, len(keys)),
        precision=settings.precision,
    )
    taken = 0
    with tqdm(total=len(keys), desc="answering", unit="film", disable=not keys) as bar:
        for batch in batches if keys else ():
            waiting.append((keys[taken : taken + len(batch.seen)], batch))
            taken += len(batch.seen)
            bar.update(len(batch.seen))
            if sum(len(some) for some, _ in waiting) >= settings.part_size or taken == len(keys):
                place |= _write_part(folder, waiting)
                waiting = []
    return place


def _write_part(folder: Path, batches: Sequence[tuple[list[str], Answered]]) -> dict[str, str]:
    """Write one part as a whole; returns the part of each key."""
    rows = [
        {"key": key, **seen._asdict(), "probabilities": probabilities.tolist(), "gates": gates.tolist()}
        for keys, batch in batches
        for key, seen, probabilities, gates in zip(keys, batch.seen, batch.probabilities, batch.gates)
    ]
    keys = [row["key"] for row in rows]
    name = f"part-{blake2b(''.join(keys).encode(), digest_size=12).hexdigest()}.parquet"
    temporary = folder / f".{name}.{os.getpid()}.writing"
    try:
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), temporary)
        temporary.replace(folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    return dict.fromkeys(keys, name)


def _say(results: Results) -> None:
    """Log how many films were answered, and name the first of the others."""
    table = results.film_table()
    counts = table["status"].value_counts()
    logger.info(
        "%d films: %d answered, %d with a warning, %d unreadable.",
        len(table),
        *(int(counts.get(status, 0)) for status in ("answered", "warned", "unreadable")),
    )
    for status, words in (("unreadable", "Cannot be read"), ("warned", "Warning")):
        some = table[table["status"] == status]
        for film, reason in some[["film", "reason"]].head(_NAMED).itertuples(index=False):
            logger.warning("%s: %s: %s", words, film, reason)
        if len(some) > _NAMED:
            logger.warning("%s: %d more, see the table of films.", words, len(some) - _NAMED)
