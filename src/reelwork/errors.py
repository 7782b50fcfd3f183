"""The few errors of Reelwork. Each says what is wrong and what to do next; none is raised for a thing merely absent."""

from __future__ import annotations


class ReelworkError(Exception):
    """Something the user can act on; its text is shown as it is, without a traceback."""


class PermanentError(ReelworkError):
    """Trying again cannot help: a worker dead-letters the message at once."""


class ContractViolation(PermanentError):
    """A message does not fit the contract of its topic."""


class UnreadableMedia(PermanentError):
    """A file is not a video that can be decoded; the text says what was found instead."""


class UnsupportedMedia(UnreadableMedia):
    """A file is something else than a video, or one that no decoder here understands."""


class UndecodableFrames(PermanentError):
    """Some frames of a readable video cannot be decoded; the text names them."""


class UnreadableImage(PermanentError):
    """A file is not a picture that can be decoded; the text says what was found instead."""


class UnsupportedImage(UnreadableImage):
    """A file is something else than a picture, or a picture of a kind that is not decoded here."""


class ImageTooLarge(UnreadableImage):
    """A picture has more pixels than the limit; it was not decoded."""


class UnknownAnalyzer(PermanentError):
    """`pipeline_id` names an analyzer that is not installed."""


class ModelMissing(PermanentError):
    """The weights of a model are not on this machine; the text is the command that fetches them."""


class UnusableModel(PermanentError):
    """The weights or the configuration of a model cannot be used; the text says why."""


class ProbeLimitExceeded(ReelworkError):
    """Probing a file took more time or memory than its limits allow."""


class ConfigurationError(ReelworkError):
    """A setting, folder or address cannot be used."""


class JobNotFound(ReelworkError):
    """No job has this id."""


class JobTransitionRefused(ReelworkError):
    """A job is not in a state from which this move is allowed; nothing of the work was recorded."""


class InvalidWork(ReelworkError):
    """A work breaks a rule of the ledger and was refused whole before anything was written."""


class StoreUnavailable(ReelworkError):
    """A database, broker or object store does not answer; trying again may help."""


class StoreUnreachable(StoreUnavailable):
    """There is no connection to the database at all, or it broke: nothing else will fare better just now."""


class WriteConflict(StoreUnavailable):
    """Another transaction was in the way, and this one was rolled back whole; trying again is safe."""


class ObjectExists(ReelworkError):
    """A first-writer-wins object is there already."""


class ObjectNotFound(ReelworkError):
    """The object store holds nothing under this key."""


class UploadTooLarge(ReelworkError):
    """An upload is larger than the limit."""
