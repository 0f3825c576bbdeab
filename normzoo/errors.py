"""The errors that NormZoo raises on purpose: each says what must hold, what it got, what to do."""


class NormZooError(Exception):
    """Base of every error that a caller may want to show to a person as it is."""


class ConfigError(NormZooError, ValueError):
    """An argument or setting that names something which does not exist or does not fit."""


class ImageError(NormZooError, ValueError):
    """A file that cannot be turned into a picture."""


class CheckpointError(NormZooError):
    """A packaged checkpoint that is missing, damaged or does not fit its own description."""


class DataError(NormZooError):
    """A data set that is missing, incomplete or not the one it should be."""


class TrainingError(NormZooError):
    """A training run that cannot start, go on or be resumed."""
