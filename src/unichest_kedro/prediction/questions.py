"""What is asked of the films: findings by name, by synonym, or in any words.

The query network lets the findings of one question see each other, so an answer depends on what else is asked: a single
finding, which training never asked alone, gets another answer than among the sixty. So whatever a user asks is asked in
the company of all that was asked in training, whose own answers are then left out; and what training did not ask is
asked in a second round, so that it changes nothing in the answers of the first.
"""

import difflib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from unichest_kedro.errors import SettingsError
from unichest_kedro.evaluation.asking import taught_findings
from unichest_kedro.models.folder_encoder import TEXT_ENCODER, encoder_in
from unichest_kedro.models.unichest import UniChest
from unichest_kedro.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

_CLOSEST = 3


class Round(NamedTuple):
    """Findings that are asked together.

    Attributes:
        queries: float32 (C, D), of all of them.
        take: Which of them are answers.
        put: Which findings of the table those are.
    """

    queries: Tensor
    take: list[int]
    put: list[int]


class Questions(NamedTuple):
    """What is asked.

    Attributes:
        findings: Names in the tables: the model's own name of what it knows, else the words as they were given.
        asked_as: The words in which each was asked for.
        queries: float32 (Q, D), their text embeddings.
        trained: Whether each was asked in training; None where the model folder does not say.
        rounds: How they are asked.
    """

    findings: tuple[str, ...]
    asked_as: tuple[str, ...]
    queries: Tensor
    trained: tuple[bool | None, ...]
    rounds: tuple[Round, ...]


def ask(
    model: UniChest, findings: Sequence[str] = (), folder: Path | None = None, *, together: bool = True
) -> Questions:
    """Find what is asked.

    A finding that the model knows is found by its name, by a synonym or by the words of its prompt in the folder's
    vocabulary, whatever its case. Any other words go through the folder's text encoder. What was not asked in training
    (`model.facts["findings_asked"]`) is asked all the same, with a warning in the log: nobody has taught the model, and
    nobody has measured, what its answer is worth.

    Args:
        model: The model.
        findings: Names or words; nothing for those asked in training, or all known ones where the folder does not say.
        folder: The model folder, where the text encoder lies; None for none.
        together: Whether to ask in the company of what was asked in training; False asks `findings` and nothing else,
            as evaluation asks the findings of a benchmark.

    Raises:
        SettingsError: a finding is unknown and the folder has no text encoder, or none that fits; or no finding is
            known and none is given.
    """
    told = model.facts.get("findings_asked")
    taught = taught_findings(model)
    asked = _asked(model, findings or taught)
    unknown = [name for name in asked if name not in model.findings]
    embedded = dict(zip(unknown, _embed(model, unknown, folder))) if unknown else {}
    device = model.finding_embeddings.device
    queries = torch.stack(
        [(embedded[name] if name in embedded else model.queries_for([name])[0]).detach().to(device) for name in asked]
    )
    trained = tuple(None if told is None else name in told for name in asked)
    _warn_of_untaught([name for name, was in zip(asked, trained) if was is False])
    company = taught if together else []
    return Questions(
        tuple(asked), tuple(asked.values()), queries, trained, _rounds(model, list(asked), queries, company)
    )


def _asked(model: UniChest, findings: Sequence[str]) -> dict[str, str]:
    """The words in which each finding is asked for, by its name in the tables."""
    if not findings:
        raise SettingsError("findings: the model folder knows no finding by name; say what is asked, in words")
    names = _known_names(model)
    asked: dict[str, str] = {}
    for words in findings:
        name = names.get(_plain(words), " ".join(words.split()))
        if not name:
            raise SettingsError("findings: a finding is empty; write its name or describe it in words")
        if name in asked:
            logger.warning("Finding %r is asked for twice, the second time as %r; it is answered once.", name, words)
        asked.setdefault(name, words)
    return asked


def _rounds(model: UniChest, asked: list[str], queries: Tensor, company: list[str]) -> tuple[Round, ...]:
    """How findings are asked: those of the company within it, the others beside it; without company, all at once."""
    if not company:
        everything = list(range(len(asked)))
        return (Round(queries, everything, everything),)
    beside = model.queries_for(company).detach()
    inside = [place for place, name in enumerate(asked) if name in company]
    outside = [place for place, name in enumerate(asked) if name not in company]
    rounds = []
    if inside:
        rounds.append(Round(beside, [company.index(asked[place]) for place in inside], inside))
    if outside:
        rounds.append(Round(torch.cat([queries[outside], beside]), list(range(len(outside))), outside))
    return tuple(rounds)


def _warn_of_untaught(untaught: list[str]) -> None:
    if untaught:
        logger.warning(
            "Not asked in training: %s. The answers are the text encoder's guess; nothing says how good they are.",
            ", ".join(untaught),
        )


def _known_names(model: UniChest) -> dict[str, str]:
    """The model's name of each phrase, in plain lower case."""
    names = {}
    if model.vocabulary.strip():
        words = Vocabulary.from_yaml(model.vocabulary + "\n")
        names = {_plain(prompt): finding for finding, prompt in words.prompts.items()}
        names |= {_plain(phrase): finding for phrase, finding in words.phrases.items()}
    names = {phrase: finding for phrase, finding in names.items() if finding in model.findings}
    return names | {_plain(finding): finding for finding in model.findings}


def _plain(words: str) -> str:
    return " ".join(words.lower().split())


def _embed(model: UniChest, words: list[str], folder: Path | None) -> Tensor:
    """Embeddings (Q, D) of words, by the text encoder in the model folder."""
    encoder = encoder_in(folder, model.settings.width)
    if encoder is None:
        raise SettingsError(_no_encoder(model, words))
    return torch.from_numpy(encoder.encode(words, progress=False))


def _no_encoder(model: UniChest, words: list[str]) -> str:
    known = _known_names(model)
    hints = []
    for word in words:
        close = difflib.get_close_matches(_plain(word), known, n=_CLOSEST, cutoff=0.6)
        if close:
            hints.append(f"{word!r} is close to {', '.join(dict.fromkeys(known[phrase] for phrase in close))}")
    hint = f" ({'; '.join(hints)})" if hints else ""
    return (
        f"findings: the model does not know {', '.join(map(repr, words))}{hint}, and its folder has no text encoder to "
        f"read the words with; ask for what it knows ({', '.join(model.findings) or 'nothing'}), or give a model "
        f"folder with a `{TEXT_ENCODER}` folder"
    )
