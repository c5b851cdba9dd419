"""Errors that the core raises. Messages name counts and positions, never a sample or its id."""


class CoreError(Exception):
    """Base of everything that `mcu_core` raises on purpose."""


class ConfigurationError(CoreError):
    """A setting cannot be used with this model or this data."""


class CheckpointError(CoreError):
    """A weights file is truncated, hostile, or not the one that its digest promises."""


class ArchitectureError(CoreError):
    """A model and its weights, its input or its number of classes do not fit together."""


class DataError(CoreError):
    """A sample is missing, cannot be decoded, or carries a label out of range."""


class DivergedError(CoreError):
    """A loss or an update stopped being finite; the message says which setting to lower."""


class NoEffectError(CoreError):
    """Unlearning left the weights as they were, or has nothing to change them by."""


class SealedReadError(CoreError):
    """Something that unlearns or chooses tried to read samples that belong to the audit alone."""
