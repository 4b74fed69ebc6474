"""Trains and scores the models of the ablations; what is finished is kept, so that a stopped run goes on.

Each model has a folder `name/seed_1`: `identity.json` (a digest of all that it depends on), `checkpoints` (while it is
trained, and afterwards where another starts from it), `scores.parquet` and `gates.parquet` (schemas `Scores`, `Gates`,
validation and test films), `history.csv` (one row per epoch) and, last, `outcome.json`. A folder of another digest
is made anew.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from unichest_kedro.ablations.asking import AskedAbout
from unichest_kedro.ablations.plan import Part
from unichest_kedro.datasets.atomic import replacing_file
from unichest_kedro.errors import SettingsError
from unichest_kedro.evaluation.leaks import is_leaked
from unichest_kedro.evaluation.scoring import Images, score
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.models.device import pick_device
from unichest_kedro.models.unichest import ModelSettings, UniChest, build_unichest
from unichest_kedro.training.data import TrainingData
from unichest_kedro.training.loop import TrainingResult
from unichest_kedro.training.stages import CONQUERED, continue_conquer, train_conquer, train_divide

logger = logging.getLogger(__name__)

SPLITS = ("val", "test")
SCORES, GATES, HISTORY = "scores.parquet", "gates.parquet", "history.csv"
OUTCOME, IDENTITY, CHECKPOINTS = "outcome.json", "identity.json", "checkpoints"


@dataclass(frozen=True)
class Films:
    """What models are scored on.

    Attributes:
        examples: `Examples`.
        stores: Image store of each source.
        labels: `Labels` of each source.
        asked: Findings asked of each source.
        leaked_films: `LeakedFilms`.
        batch_size: Films per forward pass.
        device: "auto" or "cpu".
    """

    examples: pd.DataFrame
    stores: Mapping[str, Images]
    labels: Mapping[str, pd.DataFrame]
    asked: Mapping[str, Sequence[str]]
    leaked_films: pd.DataFrame
    batch_size: int = 64
    device: str = "auto"

    def digest(self) -> str:
        """Digest of films, labels and findings; pixels are covered by the training data's."""
        digest = hashlib.sha256(json.dumps({s: list(f) for s, f in self.asked.items()}, sort_keys=True).encode())
        for table in (self.examples, self.leaked_films, *(self.labels[source] for source in sorted(self.labels))):
            digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Bench:
    """What all models share.

    Attributes:
        data_of: Training data of sources.
        trained_on: All sources trained on.
        findings: Names of the F findings of the vocabulary.
        prompts: float32 (F,D), their embeddings.
        source_prompts: float32 (F,D) of each source trained on, where a variant wants them.
        films: What is scored.
    """

    data_of: Callable[[tuple[str, ...]], TrainingData]
    trained_on: tuple[str, ...]
    findings: tuple[str, ...]
    prompts: np.ndarray
    source_prompts: Mapping[str, np.ndarray] | None
    films: Films


def run_parts(parts: Sequence[Part], bench: Bench, folder: Path) -> pd.DataFrame:
    """Train and score every model that is not finished yet.

    Args:
        parts: What to train, in order.
        bench: What all share.
        folder: Where the results lie.

    Returns:
        `AblationRuns`: one row per model, how its training ended and where it lies below `folder`.
    """
    digests = _digests(parts, bench)
    started_from = {(part.start.name, part.seed) for part in parts if part.start is not None}
    rows = []
    with tqdm(parts, desc="ablations", unit="model") as bar:
        for part in bar:
            bar.set_postfix_str(f"{part.name}, seed {part.seed}")
            own = _prepare(folder_of(folder, part), digests[(part.name, part.seed)])
            if not (own / OUTCOME).exists():
                _train_and_score(part, bench, folder)
            if (part.name, part.seed) not in started_from:
                shutil.rmtree(own / CHECKPOINTS, ignore_errors=True)
            outcome = json.loads((own / OUTCOME).read_text(encoding="utf-8"))
            rows.append({"variant": part.name, "title": part.title, "seed": part.seed, **outcome})
    return pd.DataFrame(rows).astype(dict.fromkeys(["variant", "title", "sources", "start", "stopped"], "str"))


def folder_of(folder: Path, part: Part) -> Path:
    """Where a model's results lie."""
    return folder / part.name / f"seed_{part.seed}"


def read_results(folder: Path, name: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`Scores` and `Gates` of a finished model."""
    own = folder / name / f"seed_{seed}"
    return pd.read_parquet(own / SCORES), pd.read_parquet(own / GATES)


def rebuilt(model: UniChest, settings: ModelSettings, seed: int) -> UniChest:
    """A model of other gate settings with the same Conquer weights; its experts and gate are drawn anew.

    Raises:
        SettingsError: image encoder or query networks are of another shape.
    """
    if settings == model.settings:
        return model
    fresh = build_unichest(settings, model.findings, model.finding_embeddings, seed, model.vocabulary, model.facts)
    kept = {name: value for name, value in model.state_dict().items() if name.startswith(CONQUERED)}
    try:
        fresh.load_state_dict(kept, strict=False)
    except RuntimeError as error:
        raise SettingsError(f"ablation: the settings of model do not fit what Conquer trained: {error}") from error
    return fresh


def _prepare(own: Path, digest: str) -> Path:
    """The folder of a model, emptied where it belongs to other settings or data."""
    file = own / IDENTITY
    if own.exists() and (not file.exists() or json.loads(file.read_text())["digest"] != digest):
        logger.info("ablations: %s was made of other settings or data and is made anew", own)
        shutil.rmtree(own)
    own.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"digest": digest}))
    return own


def _digests(parts: Sequence[Part], bench: Bench) -> dict[tuple[str, int], str]:
    """Digest of all that each model depends on, that of its start included."""
    films = bench.films.digest()
    data = {part.sources: bench.data_of(part.sources).fingerprints() for part in parts}
    words = hashlib.sha256(np.ascontiguousarray(bench.prompts)).hexdigest()
    digests: dict[tuple[str, int], str] = {}
    for part in parts:
        own: dict[str, Any] = {
            "stage": part.variant.stage,
            "ratios": part.variant.ratios,
            "model": part.settings.model.model_dump(mode="json"),
            "conquer": part.settings.conquer.identity() if part.variant.stage in ("conquer", "continue") else None,
            "divide": part.settings.divide.identity() if part.variant.stage in ("continue", "divide") else None,
            "sources": part.sources,
            "data": data[part.sources],
            "films": films,
            "prompts": words,
            "source prompts": _source_prompts_digest(bench) if part.source_prompts else None,
            "start": digests[(part.start.name, part.seed)] if part.start else None,
        }
        text = json.dumps(own, sort_keys=True, default=str)
        digests[(part.name, part.seed)] = hashlib.sha256(text.encode()).hexdigest()
    return digests


def _source_prompts_digest(bench: Bench) -> str:
    digest = hashlib.sha256()
    for source, values in sorted((bench.source_prompts or {}).items()):
        digest.update(source.encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _train_and_score(part: Part, bench: Bench, folder: Path) -> None:
    own = folder_of(folder, part)
    result = _trained(part, bench, folder)
    scores, gates = _scored(part, result.model, bench)
    scores.to_parquet(own / SCORES)
    gates.to_parquet(own / GATES)
    is_trained = part.variant.stage != "score"
    if is_trained:
        result.history.to_csv(own / HISTORY, index=False)
    outcome = {
        "sources": ", ".join(part.sources),
        "start": part.start.name if part.start else "",
        "epochs": result.epochs if is_trained else 0,
        "steps": result.steps if is_trained else 0,
        "best_epoch": result.best_epoch if is_trained else 0,
        "stopped": result.stopped if is_trained else "",
        "uses_experts": bool(result.model.ratios[1] > 0) if is_trained else part.variant.ratios[1] > 0,
        "seconds": round(float(result.history["seconds"].sum()), 1) if is_trained else 0.0,
    }
    # Written last and as a whole: a folder that has it is finished.
    with replacing_file(own / OUTCOME) as fresh:
        fresh.write_text(json.dumps(outcome), encoding="utf-8")


def _trained(part: Part, bench: Bench, folder: Path) -> TrainingResult:
    """The trained model of a part; of a finished one it is read from its checkpoints."""
    if part.variant.stage == "score":
        return _trained(_start(part), bench, folder)
    checkpoints = folder_of(folder, part) / CHECKPOINTS
    data, settings = bench.data_of(part.sources), part.settings
    if part.source_prompts and bench.source_prompts is not None:
        data = replace(data, source_prompts=bench.source_prompts)
    if part.variant.stage == "conquer":
        model = build_unichest(settings.model, bench.findings, bench.prompts, part.seed)
        return train_conquer(model, data, settings.conquer, checkpoints)
    model = rebuilt(_trained(_start(part), bench, folder).model, settings.model, part.seed)
    if part.variant.stage == "continue":
        return continue_conquer(model, data, settings.conquer, settings.divide, checkpoints)
    return train_divide(model, data, settings.divide, checkpoints)


def _start(part: Part) -> Part:
    if part.start is None:
        raise ValueError(f"{part.name} starts from nothing")
    return part.start


def _scored(part: Part, model: UniChest, bench: Bench) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`Scores` and `Gates` of all films; of the sources trained on alone, where the source must be known to ask."""
    model = model.to(pick_device(bench.films.device))
    if part.is_oracle or part.source_prompts:
        own = dict(bench.source_prompts or {}) if part.source_prompts else {}
        tables = [
            _asked(part, AskedAbout(model, number, part.is_oracle, own.get(source)), bench, [source])
            for number, source in enumerate(bench.data_of(part.sources).sources)
        ]
    else:
        tables = [_asked(part, model, bench, list(bench.films.asked))]
    model.to("cpu")
    scores, gates = (pd.concat(every, ignore_index=True) for every in zip(*tables))
    # The same films are judged of all models, also of those that have seen fewer sources.
    scores["leaked"] = is_leaked(scores, bench.films.leaked_films, bench.trained_on)
    return scores, gates


def _asked(
    part: Part, model: UniChest | AskedAbout, bench: Bench, sources: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    films = bench.films
    return score(
        model,
        part.name,
        films.examples[films.examples["source"].isin(sources)],
        films.stores,
        films.labels,
        films.asked,
        part.sources,
        films.leaked_films,
        image_size=part.settings.model.image_size,
        batch_size=films.batch_size,
        resize=resize_square,
        splits=SPLITS,
        ratios=dict(zip(("main_ratio", "expert_ratio"), part.variant.ratios)) if part.variant.ratios else None,
    )
