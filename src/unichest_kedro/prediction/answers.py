"""Films through the model, in batches: what comes out is kept small, so that memory does not grow with the films."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unichest_kedro.errors import UniChestError, UnreadableImage
from unichest_kedro.evaluation.scoring import evaluation_mode
from unichest_kedro.imaging.augment import resize_square
from unichest_kedro.imaging.resize import shorter_side
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.prediction.questions import Questions
from unichest_kedro.prediction.reading import Picture, read_picture
from unichest_kedro.prediction.settings import Precision
from unichest_kedro.prediction.speed import computing

ROUNDING = 1e-5
"""How far float32 sums of gate weights may carry a probability beyond [0, 1]."""


class Seen(NamedTuple):
    """What is known of one picture before it is answered.

    Attributes:
        error: Why it could not be read, "" where it could.
        warning: What speaks against its being an upright frontal chest film, "" for nothing.
        height: Pixels of the picture as it was read, 0 where it was not.
        width: As height.
        frontal: Probability of an upright frontal chest film, of `film_check`; NaN where it was not read.
    """

    error: str
    warning: str
    height: int
    width: int
    frontal: float


class Answered(NamedTuple):
    """A batch of B pictures, in the order of the pictures given.

    Attributes:
        seen: What is known of each.
        probabilities: float64 (B, Q); NaN for a picture that was not read.
        gates: float64 (B, K), weights of the experts; NaN also where the model uses no experts.
    """

    seen: tuple[Seen, ...]
    probabilities: np.ndarray
    gates: np.ndarray


class Pictures(Dataset):
    """Pictures as the model takes them: item i is (`Seen`, uint8 (1, size, size) or None)."""

    def __init__(self, pictures: Sequence[Picture], size: int, stored: int) -> None:
        """Describe the work; nothing is read yet.

        Args:
            pictures: What to read.
            size: Side of the model's square images.
            stored: Shorter side that films had in the image store that the model was trained from.
        """
        self.pictures, self.size, self.stored = pictures, size, stored

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Seen, Tensor | None]:
        """Read, judge and resize one picture."""
        try:
            film = read_picture(self.pictures[index])
        except UnreadableImage as error:
            return Seen(str(error), "", 0, 0, float("nan")), None
        square = as_square(film.grey, self.size, self.stored)
        return Seen("", film.check.warning, *film.grey.shape, film.check.frontal), torch.from_numpy(square)[None]


def as_square(film: np.ndarray, size: int, stored: int) -> np.ndarray:
    """A film as training and evaluation see it: shrunk as for the image store, then to the model's square.

    Args:
        film: uint8 (height, width).
        size: Side of the model's square images.
        stored: Shorter side in the image store.

    Returns:
        uint8 (size, size), writable.
    """
    return np.array(resize_square(shorter_side(film, stored), size))


def stored_size(model: UniChest) -> int:
    """Shorter side that films had in the store the model was trained from; where it is not said, the model's."""
    return int(model.facts.get("stored_image_size") or model.settings.image_size)


def answer(
    model: UniChest,
    questions: Questions,
    pictures: Sequence[Picture],
    *,
    batch_size: int = 8,
    workers: int = 0,
    precision: Precision = "auto",
) -> Iterator[Answered]:
    """Answer pictures batch by batch, in their order; the next batch is read while one is answered.

    Args:
        model: Asked in evaluation mode on the device it lies on, and left in the mode in which it came.
        questions: The Q findings that are asked.
        pictures: What can be read as a film (`reading.read_picture`).
        batch_size: Pictures per forward pass.
        workers: Processes that read ahead; 0 reads in this one.
        precision: See `PredictSettings`.

    Raises:
        UniChestError: an answer is no probability: the model has diverged.
    """
    device = model.finding_embeddings.device
    loader = DataLoader(
        Pictures(pictures, model.settings.image_size, stored_size(model)),
        batch_size=batch_size,
        collate_fn=list,
        num_workers=workers,
    )
    with evaluation_mode(model), computing(model, precision, len(pictures)) as compute, torch.inference_mode():
        for batch in loader:
            seen = tuple(item for item, _ in batch)
            squares = [square for _, square in batch if square is not None]
            read = np.array([square is not None for _, square in batch])
            probabilities = np.full((len(batch), len(questions.findings)), np.nan)
            gates = np.full((len(batch), model.settings.experts), np.nan)
            if squares:
                outputs = compute(torch.stack(squares).to(device), [one.queries for one in questions.rounds])
                for one, output in zip(questions.rounds, outputs):
                    answers = output.probabilities[:, one.take].double().cpu().numpy()
                    probabilities[np.ix_(read, one.put)] = _checked(answers)
                if model.ratios[1] > 0:
                    gates[read] = np.clip(outputs[0].gate.double().cpu().numpy(), 0, 1)
            yield Answered(seen, probabilities, gates)


def _checked(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities within [0, 1]."""
    wrong = ~((probabilities >= -ROUNDING) & (probabilities <= 1 + ROUNDING))
    if wrong.any():
        raise UniChestError(
            f"the model gave {int(wrong.sum())} of {wrong.size} answers that are no probability, the first "
            f"{probabilities[wrong][0]}; it has diverged or its folder is damaged: use another model folder"
        )
    return np.clip(probabilities, 0, 1)
