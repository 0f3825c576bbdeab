"""The errors that NormZoo raises on purpose: each says what must hold, what it got, what to do."""


class NormZooError(Exception):
    """Base of every error that a caller may want to show to a person as it is.

    >>> try:
    ...     normzoo.load_image("no-such-photo.jpg")
    ... except normzoo.NormZooError as error:
    ...     print(error)
    The file could not be opened; choose it again.
    """


class ConfigError(NormZooError, ValueError):
    """An argument or setting that names something which does not exist or does not fit."""


class ImageError(NormZooError, ValueError):
    """A file that cannot be turned into a picture."""


class CheckpointError(NormZooError):
    """A packaged checkpoint that is missing, damaged or does not fit its own description."""


class HubError(NormZooError):
    """The Hugging Face Hub that cannot be reached, or that does not have or take what was asked."""


class DataError(NormZooError):
    """A data set that is missing, incomplete or not the one it should be."""


class TrainingError(NormZooError):
    """A training run that cannot start, go on or be resumed."""
