"""Which films and findings each benchmark judges all models by, and what was left out on the way, counted."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from unichest_kedro.evaluation.benchmarks import BenchmarkSettings, benchmark_scores, too_rare, without
from unichest_kedro.evaluation.leaks import without_leaked
from unichest_kedro.evaluation.other_models import OtherModels, films_of_all, not_asked
from unichest_kedro.sources.splits import OFFICIAL
from unichest_kedro.vocabulary import Vocabulary


class Judged(NamedTuple):
    """What the models are judged by.

    Attributes:
        scores: `Scores` with a column `benchmark`, of the benchmarks' own splits; all models of a benchmark have the
            same films.
        leaked: By benchmark, how many films were left out because a model was trained on them.
        notes: By benchmark, sentences about all else that was left out.
    """

    scores: pd.DataFrame
    leaked: dict[str, int]
    notes: dict[str, list[str]]


def judge(
    scores: pd.DataFrame,
    benchmarks: Mapping[str, BenchmarkSettings],
    other_models: OtherModels,
    studies: Mapping[str, pd.DataFrame],
    vocabulary: Vocabulary,
    leave_out_leaked: bool,
) -> Judged:
    """Take the scores of every benchmark, less leaked films, films that a model lacks, and findings that are too rare.

    Args:
        scores: `Scores` of all models.
        benchmarks: By key, of active sources.
        other_models: The other models, for what they may lack.
        studies: `Studies` of each source.
        vocabulary: The unified vocabulary.
        leave_out_leaked: Whether films that a model was trained on are left out, for all models.

    Raises:
        UniChestError: all films are leaked.
    """
    everything = benchmark_scores(scores, benchmarks, studies, vocabulary)
    clean = without_leaked(everything, leave_out_leaked) if len(everything) else everything
    films = {key: part["image_id"].nunique() for key, part in everything.groupby("benchmark", sort=False)}
    left = {key: part["image_id"].nunique() for key, part in clean.groupby("benchmark", sort=False)}
    kept, lacking = films_of_all(clean, other_models)
    rare = too_rare(kept, benchmarks)
    silent = not_asked(kept)
    notes = {key: [words for words in (lacking.get(key), silent.get(key)) if words] for key in benchmarks}
    for key, findings in rare.items():
        notes[key].append(_rare_in_words(findings, benchmarks[key].fewest_positives))
    leaked = {key: films[key] - left.get(key, 0) for key in films}
    return Judged(without(kept, rare), leaked, notes)


def benchmark_table(
    given: Judged,
    benchmarks: Mapping[str, BenchmarkSettings],
    studies: Mapping[str, pd.DataFrame],
    trained_on: frozenset[str],
) -> pd.DataFrame:
    """Describe every benchmark: films, patients, findings, filter, policy, and what was left out (`BenchmarkTable`).

    Args:
        given: What the models are judged by.
        benchmarks: By key, of active sources.
        studies: `Studies` of each source.
        trained_on: Sources that our models were trained on.
    """
    parts = {str(key): part for key, part in given.scores.groupby("benchmark", sort=False)}
    rows = []
    for key, settings in benchmarks.items():
        part = parts.get(key, given.scores.iloc[:0])
        leaked = given.leaked.get(key, 0)
        notes = [*_split_notes(settings, studies[settings.source]), *given.notes[key]]
        if part.empty:
            notes.append(_why_empty(settings, leaked, given.notes[key]))
        rows.append(
            {
                "benchmark": key,
                "title": settings.title,
                "source": settings.source,
                "split": settings.split,
                "films": part["image_id"].nunique(),
                "films_left_out_leaked": leaked,
                "patients": part["patient_id"].nunique(),
                "views": "all" if settings.views is None else ", ".join(settings.views),
                "findings": part["finding"].nunique(),
                "unknown": settings.unknown,
                "in_mean": settings.in_mean,
                "trained_on": settings.source in trained_on,
                "notes": ". ".join(f"{words[:1].upper()}{words[1:]}" for words in notes),
            }
        )
    return pd.DataFrame(rows)


def _rare_in_words(findings: Sequence[str], fewest: int) -> str:
    ending = "s" if len(findings) > 1 else ""
    return f"{len(findings)} finding{ending} with fewer than {fewest} positive films left out: {', '.join(findings)}"


def _split_notes(settings: BenchmarkSettings, studies: pd.DataFrame) -> list[str]:
    """How the films came into the split, where the publisher ships none."""
    films = studies[studies["split"] == settings.split]
    listed = f"{len(films):,} of {len(studies):,} films on disk"
    return [f"{origin} ({listed})" for origin in films["split_origin"].unique() if origin != OFFICIAL]


def _why_empty(settings: BenchmarkSettings, leaked: int, notes: list[str]) -> str:
    if leaked:
        return "not judged: every film was trained on"
    if notes:
        return "not judged: nothing is left"
    return f"not judged: no film of the split {settings.split} with these views was scored"
