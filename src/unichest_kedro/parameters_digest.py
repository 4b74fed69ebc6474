"""A digest of a parameter's value, over what changes a result: whether an artefact was made with another one.

Left out is what only says how a result is computed: on which device, by how many processes, in batches of what size
(where nothing is trained), how often something is logged or saved. The settings of training say so themselves
(`TrainingSettings.identity`); for all others it stands here. What is not listed counts.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

HOW = frozenset({"n_jobs", "num_workers", "device", "backend", "address", "allow_download", "cache_gib", "part_size"})
"""Settings that change no result in any block."""

HOW_IN = {
    "evaluation": frozenset({"batch_size"}),
    "text_encoder": frozenset({"batch_size"}),
    "predict": frozenset({"batch_size"}),
}
"""Further settings that change no result in one block."""

WHERE = "trainer"
"""The block that only says where training runs."""


def parameter_digest(name: str, value: Any) -> str | None:
    """Return a digest of a parameter; None for one that changes no result.

    Args:
        name: dotted, without `params:`, such as `conquer`.
        value: a settings model, or a value as YAML has it.
    """
    block, _, field = name.rpartition(".")
    left_out = HOW | HOW_IN.get(block or name, frozenset())
    if name == WHERE or block == WHERE or (block and field in left_out):
        return None
    content = json.dumps(_decisive(value, left_out), sort_keys=True, default=str)
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()


def _decisive(value: Any, left_out: frozenset[str]) -> Any:
    identity = getattr(value, "identity", None)
    if callable(identity):
        return identity()
    content = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    if isinstance(content, Mapping):
        return {str(key): content[key] for key in content if key not in left_out}
    return content
