"""The text encoder that lies in a model folder: what any words are read with."""

from pathlib import Path

from unichest_kedro.errors import SettingsError
from unichest_kedro.models.text_encoder import TextEncoder

TEXT_ENCODER = "text_encoder"
"""Folder of the text encoder within a model folder."""


def encoder_in(folder: Path | None, width: int) -> TextEncoder | None:
    """Load the text encoder of a model folder.

    Args:
        folder: The model folder; None for a model that was never saved.
        width: D of the model.

    Returns:
        The encoder; None where the folder has none.

    Raises:
        SettingsError: its width is not the model's.
    """
    place = None if folder is None else folder / TEXT_ENCODER
    if place is None or not place.is_dir():
        return None
    encoder = TextEncoder.from_pretrained(place)
    if encoder.width != width:
        raise SettingsError(
            f"findings: the text encoder in {place} has width {encoder.width}, the model has {width}; it is not the "
            "one that the model was trained with"
        )
    return encoder
