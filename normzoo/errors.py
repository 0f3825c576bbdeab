"""Errors of NormZoo; each message says what is required, what was given, and what to do."""


class NormZooError(Exception):
    """Base of all errors whose message can be shown to users.

    >>> try:
    ...     normzoo.load_image("no-such-photo.jpg")
    ... except normzoo.NormZooError as error:
    ...     print(error)
    The file could not be opened; choose it again.
    """


class ConfigError(NormZooError, ValueError):
    """An argument or setting is invalid."""


class ImageError(NormZooError, ValueError):
    """A file cannot be read as an image."""


class CheckpointError(NormZooError):
    """A packaged checkpoint is missing, damaged or inconsistent."""


class HubError(NormZooError):
    """The Hugging Face Hub cannot be reached, or rejects a request."""


class DataError(NormZooError):
    """A data set is missing, incomplete or not the expected one."""


class TrainingError(NormZooError):
    """A training run cannot start, continue or resume."""
