"""One number for every random choice: the parameter `seed`, unless a stage's own block names another."""

from typing import TypeVar

from pydantic import BaseModel

Settings = TypeVar("Settings", bound=BaseModel)


def seeded(settings: Settings, seed: int) -> Settings:
    """Return the settings with the project's seed; a `seed` written into their own block stays."""
    return settings if "seed" in settings.model_fields_set else settings.model_copy(update={"seed": seed})
