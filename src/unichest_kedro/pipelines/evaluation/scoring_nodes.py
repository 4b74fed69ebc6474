"""Nodes that ask the models about films."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from unichest_kedro.errors import UniChestError
from unichest_kedro.evaluation.asking import taught_findings
from unichest_kedro.evaluation.benchmarks import Benchmarks, queries_of
from unichest_kedro.evaluation.calibrating import CalibrationSettings, fit_calibrations
from unichest_kedro.evaluation.calibration import Calibrations
from unichest_kedro.evaluation.experts import has_experts, no_answers, score_with_experts
from unichest_kedro.evaluation.leaks import without_tested
from unichest_kedro.evaluation.other_models import OtherModels
from unichest_kedro.evaluation.scoring import marked, score
from unichest_kedro.evaluation.settings import EvaluationSettings
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.models.device import pick_device
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.pipelines.evaluation.shared import MODELS, trained_sources_of
from unichest_kedro.pipelines.per_source import by_source
from unichest_kedro.schemas import UNKNOWN, Scores
from unichest_kedro.training.examples import check_rows
from unichest_kedro.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

SPLITS = ("val", "test")
"""Test films are judged; validation films choose thresholds."""


def score_conquer(
    model: UniChest,
    examples: pd.DataFrame,
    vocabulary: dict[str, Any],
    leaked_films: pd.DataFrame,
    benchmarks: Benchmarks,
    settings: EvaluationSettings,
    train_on: Sequence[str],
    **tables: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every validation and test film of every source once with the Conquer model (schemas `Scores`, `Gates`)."""
    asked = _asked(benchmarks, vocabulary, tables)
    return score_films(model, MODELS["conquer"], examples, asked, leaked_films, settings, train_on, tables)


def score_continued(
    model: UniChest,
    examples: pd.DataFrame,
    vocabulary: dict[str, Any],
    leaked_films: pd.DataFrame,
    benchmarks: Benchmarks,
    settings: EvaluationSettings,
    train_on: Sequence[str],
    **tables: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every validation and test film once with the control, Conquer continued for Divide's steps."""
    asked = _asked(benchmarks, vocabulary, tables)
    return score_films(model, MODELS["continued"], examples, asked, leaked_films, settings, train_on, tables)


def score_unichest(
    model: UniChest,
    examples: pd.DataFrame,
    vocabulary: dict[str, Any],
    leaked_films: pd.DataFrame,
    benchmarks: Benchmarks,
    settings: EvaluationSettings,
    train_on: Sequence[str],
    **tables: Any,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score every validation and test film once with the whole model, Conquer + Divide.

    Returns:
        `Scores` and `Gates`, and of the test films what each of its networks says (`ExpertAnswers`), which is empty
        where the model does not use its experts.
    """
    asked = _asked(benchmarks, vocabulary, tables)
    title = MODELS["unichest"]
    if not has_experts(model):
        logger.warning("%s does not use its experts (their ratio is 0): nothing is said of them.", title)
        scores, gates = score_films(model, title, examples, asked, leaked_films, settings, train_on, tables)
        return scores, gates, no_answers()
    return tuple(score_with_experts(**_pass(model, title, examples, asked, leaked_films, settings, train_on, tables)))


def score_other_models(
    other_models: OtherModels,
    examples: pd.DataFrame,
    vocabulary: dict[str, Any],
    leaked_films: pd.DataFrame,
    benchmarks: Benchmarks,
    settings: EvaluationSettings,
    **tables: Any,
) -> pd.DataFrame:
    """Score the same films with every other model folder of the settings (schema `Scores`; without a row for none).

    Raises:
        UniChestError: neither a model's folder nor the settings say what it was trained on.
    """
    asked = _asked(benchmarks, vocabulary, tables) if other_models.folders else {}
    scores = [Scores.empty()]
    for title, one in other_models.folders.items():
        model = UniChest.from_pretrained(one.folder.expanduser())
        _warn_of_small_films(title, model, by_source(tables, "images"))
        told = model.facts.get("trained_on") if one.trained_on is None else one.trained_on
        if told is None:
            raise UniChestError(
                f"other_models: {title}: {one.folder} does not say what the model was trained on; add trained_on, [] "
                "for none of the sources"
            )
        of_model, _ = score_films(model, title, examples, asked, leaked_films, settings, list(told), tables)
        scores.append(marked(of_model, told, leaked_films))
    return pd.concat(scores, ignore_index=True)


def _warn_of_small_films(title: str, model: UniChest, stores: Mapping[str, Any]) -> None:
    """A model of large films is judged unfairly on films that were stored smaller and are enlarged for it."""
    stored = min((getattr(store, "image_size", model.settings.image_size) for store in stores.values()), default=0)
    if 0 < stored < model.settings.image_size:
        logger.warning(
            "%s: this model takes films of %d px, those in the image store have %d and are enlarged for it: its "
            "results say little about it. Store them larger (imaging.image_size).",
            title,
            model.settings.image_size,
            stored,
        )


def score_films(
    model: UniChest,
    title: str,
    examples: pd.DataFrame,
    asked: Mapping[str, Mapping[str, str]],
    leaked_films: pd.DataFrame,
    settings: EvaluationSettings,
    train_on: Sequence[str],
    tables: dict[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every validation and test film of the sources asked once with any model.

    Args:
        model: A model; what it was trained on it says itself (`facts`), or else `train_on`.
        title: Its name in the tables.
        examples: `Examples`.
        asked: Of each source, findings with the words in which they are asked.
        leaked_films: `LeakedFilms`.
        settings: How films are read and where the model runs.
        train_on: Sources trained on.
        tables: `{source}_images` and `{source}_labels` of every source.

    Returns:
        `Scores` and `Gates`.
    """
    return score(**_pass(model, title, examples, asked, leaked_films, settings, train_on, tables))


def calibrate(
    model: UniChest,
    examples: pd.DataFrame,
    leaked_films: pd.DataFrame,
    leakage_pairs: pd.DataFrame,
    evaluation: EvaluationSettings,
    settings: CalibrationSettings,
    train_on: Sequence[str],
    **tables: Any,
) -> tuple[Calibrations, pd.DataFrame]:
    """Fit the calibration that the model folder carries, on validation films of the sources trained on.

    Films that another source tests on are left out, so that the calibration can be judged there. The others are asked
    all that was asked in training at once, as prediction asks; a benchmark asks less, and an answer depends on what is
    asked beside it.

    Returns:
        The calibrations, and the table `CalibrationTable`.
    """
    labels = by_source(tables, "labels")
    trained = [source for source in trained_sources_of(model, train_on, labels) if source in labels]
    films = examples[examples["source"].isin(trained) & (examples["split"] == "val")]
    if films.empty:
        return fit_calibrations(None, settings)
    taught = taught_findings(model)
    # A finding that the vocabulary no longer has is asked all the same, for the company; nothing is known of it.
    full = {
        f"{source}_labels": table.reindex(columns=list(dict.fromkeys([*table, *taught])), fill_value=UNKNOWN)
        for source, table in labels.items()
    }
    asked = {source: {finding: finding for finding in taught} for source in trained}
    title = f"{MODELS['unichest']} to calibrate it"
    how = _pass(model, title, films, asked, leaked_films, evaluation, train_on, tables | full)
    return fit_calibrations(without_tested(score(**how)[0], leakage_pairs), settings)


def _pass(
    model: UniChest,
    title: str,
    examples: pd.DataFrame,
    asked: Mapping[str, Mapping[str, str]],
    leaked_films: pd.DataFrame,
    settings: EvaluationSettings,
    train_on: Sequence[str],
    tables: dict[str, Any],
) -> dict[str, Any]:
    """Arguments of `score` for one pass over the validation and test films of the sources asked."""
    stores, labels = by_source(tables, "images"), by_source(tables, "labels")
    check_rows(examples, stores, labels)
    return {
        "model": model.to(pick_device(settings.device)),
        "name": title,
        "examples": examples[examples["source"].isin(list(asked))],
        "stores": stores,
        "labels": labels,
        "findings_by_source": asked,
        "trained_on": trained_sources_of(model, train_on, labels),
        "leaked_films": leaked_films,
        "image_size": model.settings.image_size,
        "batch_size": settings.batch_size,
        "resize": resize_square,
        "splits": SPLITS,
        "workers": settings.num_workers,
    }


def _asked(benchmarks: Benchmarks, vocabulary: dict[str, Any], tables: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What each source is asked, and in which words; a source of which no label is known is named, and not asked."""
    return asked_of_sources(benchmarks, Vocabulary.from_mapping(vocabulary), by_source(tables, "labels"))


def asked_of_sources(
    benchmarks: Benchmarks, words: Vocabulary, labels: Mapping[str, pd.DataFrame]
) -> dict[str, dict[str, str]]:
    """Of each source its findings with the words in which they are asked; sources without a known label are named."""
    asked = {source: queries_of(benchmarks, source, words, table) for source, table in labels.items()}
    for source in [source for source, findings in asked.items() if not findings]:
        logger.warning("%s is not scored: not one of its films has a known label.", source)
        del asked[source]
    return asked
