"""Every error that the platform raises on purpose.

* BrainError
  x SettingsError
  x InvalidImage
    + UnsupportedImageType
    + ImageTooLarge
    + UndecodableImage
  x NotABrainMri
  x ConsentMissing
  x UnknownClass
  x PredictionNotFound
  x BundleError
  x ModelUnavailable
  x StorageError
    + ObjectNotFound
  x DatabaseError
  x RegistryError
  x DeliveryError
  x SourceError
    + SourceMissing
    + SourceEmpty
    + SourceClassUnknown
    + SourceNameInvalid
    + AnnotationsUnreadable
  x DataVersionUnknown
  x TrainingError
  x StartupError
    + PortTaken
    + AlreadyRunning
    + ProcessDied
  x ApiError

Library exceptions are translated where the library is called, so that nothing else has to know it.
"""

from typing import Any


class BrainError(Exception):
    """Base of all; the message says what was wrong and what to do about it."""


class SettingsError(BrainError):
    """A setting is unknown or has a value that is not allowed."""


class InvalidImage(BrainError):
    """Bytes that cannot be used as an image."""


class UnsupportedImageType(InvalidImage):
    """The content is neither JPEG nor PNG, whatever its name says."""


class ImageTooLarge(InvalidImage):
    """More bytes or more pixels than the limits allow."""


class UndecodableImage(InvalidImage):
    """The content claims to be an image but is empty, truncated or damaged."""


class NotABrainMri(BrainError):
    """The upload gate refused the image."""


class ConsentMissing(BrainError):
    """Nothing may be stored without consent to the current text."""


class UnknownClass(BrainError):
    """A class name that is not one of `labels.CLASSES`, or a correction that lacks one."""


class PredictionNotFound(BrainError):
    """No such prediction, it was erased, or the access token is not its own."""


class BundleError(BrainError):
    """An inference bundle is incomplete, altered or made for another version."""


class ModelUnavailable(BrainError):
    """No champion has been published yet."""


class StorageError(BrainError):
    """The bucket could not be read or written."""


class ObjectNotFound(StorageError):
    """The bucket is there, the object is not."""


class DatabaseError(BrainError):
    """PostgreSQL could not be reached or refused the statement."""


class RegistryError(BrainError):
    """MLflow could not be reached or refused the call."""


class DeliveryError(BrainError):
    """Elasticsearch or the mail server could not take what was sent."""


class SourceError(BrainError):
    """The image source cannot be used."""


class SourceMissing(SourceError):
    """The source is not there or may not be read."""


class SourceEmpty(SourceError):
    """The source is there and holds no image."""


class SourceClassUnknown(SourceError):
    """The source holds a class folder that is not one of `labels.CLASSES`."""


class SourceNameInvalid(SourceError):
    """A file in the source has a name that is not UTF-8."""


class AnnotationsUnreadable(SourceError):
    """The annotations beside the images are no table, or name no images."""


class DataVersionUnknown(BrainError):
    """No data version, or more than one, has this name."""


class TrainingError(BrainError):
    """Training cannot start or went wrong (a class without images, a loss that is not finite)."""


class StartupError(BrainError):
    """The platform cannot be started."""


class PortTaken(StartupError):
    """A port that a setting names is in use."""


class AlreadyRunning(StartupError):
    """Another platform runs on the same `BRAIN_HOME`."""


class ProcessDied(StartupError):
    """A part of the platform ended by itself."""


class ApiError(BrainError):
    """The prediction API answered with a problem document, or not at all.

    Attributes:
        status: HTTP status; 0 when the service could not be reached.
        problem: the RFC 9457 document, empty when there was none.
    """

    def __init__(self, message: str, status: int = 0, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem or {}
