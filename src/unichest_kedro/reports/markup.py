"""How a training text is written: the two markers, and the words that stand for "absent", "uncertain" and "past"."""

from collections.abc import Iterable

ENT = "[ENT]"
"""Stands before each entity of a report sentence."""

SEP = "[SEP]"
"""Closes each sentence of a report, and each finding's name of an image without a report."""

NEGATED = "no"
UNCERTAIN = "possible"
HISTORICAL = "history of"


def entity_phrase(text: str, *, negated: bool, uncertain: bool, historical: bool = False) -> str:
    """Write one entity: "no <entity>" where the report denies it, "possible <entity>" where it doubts it.

    What the report calls past is "history of <entity>". The text encoder sees words only, so what the report
    says about an entity has to be one of its words. A denial outweighs the past, and that a doubt.
    """
    prefix = NEGATED if negated else HISTORICAL if historical else UNCERTAIN if uncertain else ""
    return f"{prefix} {text}".strip()


def entities_text(phrases: Iterable[str]) -> str:
    """Write the entities of one sentence: `[ENT] a [ENT] no b [SEP]`."""
    return " ".join([*(f"{ENT} {phrase}" for phrase in phrases), SEP])


def closed_text(parts: Iterable[str]) -> str:
    """Write sentences or finding names, each closed: `a [SEP] b [SEP]`; "" for none."""
    return " ".join(f"{part} {SEP}" for part in parts)
