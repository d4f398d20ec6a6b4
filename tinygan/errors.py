"""Every error tinygan raises on purpose. Each also derives from the built-in class a caller would expect."""


class TinyganError(Exception):
    """Base of all errors raised on purpose: `except tinygan.errors.TinyganError` catches them all."""


class ShapeError(TinyganError, ValueError):
    """Shapes that don't fit. The message names the op or layer, the literal shapes and their axes."""


class DTypeError(TinyganError, TypeError):
    """A number type that is not allowed, or two that must not be mixed."""


class GraphError(TinyganError, RuntimeError):
    """The recorded graph can't be differentiated: it was freed, changed, or never recorded."""


class GradientError(TinyganError, AssertionError):
    """A gradient check failed. The message is the report."""


class NonFiniteError(TinyganError, FloatingPointError):
    """A NaN or an infinity appeared. The message says where it appeared first."""


class DeviceError(TinyganError, RuntimeError):
    """A device that was asked for can't be used."""


class DataError(TinyganError, ValueError):
    """A data set that can't be read, or doesn't hold what it should."""


class MissingDataError(DataError):
    """A data set that is nowhere to be found: not here, and not to be fetched."""


class FileError(TinyganError, OSError):
    """A file that can't be written or read; what stood there before is unchanged."""


class SettingError(TinyganError, ValueError):
    """A name, number or option outside of what is allowed."""
