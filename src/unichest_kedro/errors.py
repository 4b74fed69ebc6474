"""The errors a user can cause, each with one message that says what was wrong, what is allowed and what to do.

Everything the project raises on purpose derives from `UniChestError`, so that the command line can print the
message alone, without a traceback, and a notebook can catch one type.
"""


class UniChestError(Exception):
    """Base of every error that a user can cause and mend."""


class SettingsError(UniChestError):
    """A parameter, source key or path in the configuration is wrong."""


class SourceError(UniChestError):
    """A dataset folder or one of its tables is not what its publisher ships."""


class VocabularyError(UniChestError):
    """The vocabulary file contradicts itself or names something that does not exist."""


class UnreadableImage(UniChestError):
    """An image file cannot be decoded; the caller puts it into the quarantine table with this message."""


class MissingArtefact(UniChestError):
    """Something that an earlier pipeline makes is not there yet."""


class TrainingError(UniChestError):
    """Training cannot go on: a non-finite loss, no labelled example, a checkpoint of other settings."""


class CheckpointError(UniChestError):
    """A file of published weights cannot be read safely, or its names and shapes are not the published ones."""
