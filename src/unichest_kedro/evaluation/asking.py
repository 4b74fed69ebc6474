"""In which words findings are asked: by their own names, or in those of a benchmark."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from unichest_kedro.errors import UniChestError
from unichest_kedro.models.folder_encoder import TEXT_ENCODER, encoder_in
from unichest_kedro.models.text_encoder import TextEncoder
from unichest_kedro.models.unichest import UniChest

Findings = Sequence[str] | Mapping[str, str]
"""Names of findings, or to each name the words in which it is asked."""


def words_of(findings: Findings) -> dict[str, str]:
    """To each finding the words in which it is asked: those given, or its name."""
    return dict(findings) if isinstance(findings, Mapping) else {finding: finding for finding in findings}


def asked_in(scores: pd.DataFrame) -> dict[str, dict[str, str]]:
    """What each source was asked when it was scored, and in which words, in that order.

    Args:
        scores: `Scores` of one model.

    Returns:
        By source, words by finding.
    """
    pairs = scores[["source", "finding", "query"]].drop_duplicates()
    return {
        str(source): dict(zip(part["finding"], part["query"])) for source, part in pairs.groupby("source", sort=False)
    }


def taught_findings(model: UniChest) -> list[str]:
    """What the model was asked in training, as far as it still knows it; all it knows where it does not say."""
    told = model.facts.get("findings_asked")
    return [name for name in told if name in model.findings] if told else list(model.findings)


class Asker:
    """Finds what the query network is asked with; words are read once, by a text encoder that is loaded once.

    Words that are the name of a finding the model knows are asked with the embedding it was trained with; all others
    are read by the text encoder of its folder, even where they are a synonym of such a name.
    """

    def __init__(self, model: UniChest) -> None:
        """Nothing is loaded before it is needed."""
        self._model = model
        self._encoder: TextEncoder | None = None
        self._read: dict[str, Tensor] = {}

    def __call__(self, words: Sequence[str]) -> Tensor:
        """Queries float (Q,D) of Q names or words, on the model's device.

        Raises:
            UniChestError: there are other words than names, and the model's folder has no text encoder.
            SettingsError: its text encoder does not fit.
        """
        model = self._model
        others = list(dict.fromkeys(w for w in words if w not in model.findings and w not in self._read))
        if others:
            read = torch.from_numpy(self._encoder_for(others).encode(others, progress=False))
            self._read |= zip(others, read)
        like = model.finding_embeddings
        own = [self._read[word].to(like) if word in self._read else model.queries_for([word])[0] for word in words]
        return torch.stack(own)

    def _encoder_for(self, words: Sequence[str]) -> TextEncoder:
        if self._encoder is None:
            self._encoder = encoder_in(self._model.folder, self._model.settings.width)
        if self._encoder is None:
            raise UniChestError(
                f"{', '.join(map(repr, words))} cannot be asked: the model does not know the words as findings, and "
                f"its folder has no `{TEXT_ENCODER}` to read them with; ask by the findings' own names (`benchmarks` "
                "without `query`), or add the text encoder that it was trained with"
            )
        return self._encoder
