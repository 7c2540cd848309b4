"""Errors of requests that name or add a base model."""

from app.core.errors import Conflict, FieldError, Invalid, NotFound, Unavailable


class UnknownModel(Invalid):
    """A spec names a model that does not exist or is not visible to the caller."""

    slug, title = "unknown-model", "Unknown model"

    def __init__(self, message: str) -> None:
        super().__init__(message, errors=[FieldError("/model", "unknown-model", message)])


class ModelNotHere(Invalid):
    """A spec names weights that were not added to this instance."""

    slug, title = "model-not-here", "The weights are not on this instance"

    def __init__(self, message: str) -> None:
        super().__init__(message, errors=[FieldError("/model", "model-not-here", message)])


class ModelNotReady(Conflict):
    """A spec names weights that no worker has inspected yet."""

    slug, title = "model-not-ready", "The weights are not ready"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The weights {name} are not inspected yet. A live worker (GET /v1/workers) inspects "
            "them as soon as it runs no job."
        )


class ModelRefused(Invalid):
    """A spec names weights that the inspection refused."""

    slug, title = "model-refused", "The weights were refused"

    def __init__(self, name: str, reason: str) -> None:
        message = f"The weights {name} cannot be used. {reason}"
        super().__init__(message, errors=[FieldError("/model", "model-refused", message)])


class AmbiguousModelName(Invalid):
    """Several projects of the caller have weights with the name."""

    slug, title = "ambiguous-model-name", "The name means several weights"

    def __init__(self) -> None:
        message = "Several of your projects have weights with this name: use their id (mdl_…)."
        super().__init__(message, errors=[FieldError("/model", "ambiguous-model-name", message)])


class WeightsMissing(Conflict):
    """The request names a digest that is not at hand, and has no body."""

    slug, title = "weights-missing", "The bytes of the weights are not here"

    def __init__(self) -> None:
        super().__init__(
            "Neither the project nor the instance has weights with this SHA-256: send the file as "
            "the body of the same request."
        )


class ModelOfInstance(Conflict):
    """Only the operator removes weights of the whole instance."""

    slug, title = "model-of-instance", "The weights belong to the instance"

    def __init__(self) -> None:
        super().__init__("These weights belong to the whole instance; its operator manages them.")


class ModelNotFound(NotFound):
    """There is no such architecture, and the caller's projects have no such model."""

    slug, title = "model-not-found", "No such model"

    def __init__(self) -> None:
        super().__init__("There is no model with this id or name in your projects.")


class BadModelName(Invalid):
    """The name cannot be used for weights."""

    slug, title = "bad-model-name", "Not a name for weights"

    def __init__(self, message: str) -> None:
        super().__init__(message, errors=[FieldError("query/name", "bad-model-name", message)])


class BadDigest(Invalid):
    """The expected digest of the weights is no SHA-256."""

    slug, title = "bad-digest", "Not a digest"

    def __init__(self, message: str) -> None:
        super().__init__(message, errors=[FieldError("query/sha256", "bad-digest", message)])


class UnknownTask(Invalid):
    """The given task of the weights does not exist."""

    slug, title = "unknown-task", "The task is not known"

    def __init__(self, message: str) -> None:
        super().__init__(message, errors=[FieldError("query/task", "unknown-task", message)])


class NotWeights(Invalid):
    """The file to add is not a weights file."""

    slug, title = "not-weights", "Not a weights file"

    def __init__(self, message: str) -> None:
        super().__init__(message, errors=[FieldError("", "not-weights", message)])


class ModelNameTaken(Conflict):
    """Other weights already have this name."""

    slug, title = "model-name-taken", "The name is taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"Other weights are already named {name}; choose another name.")


class DownloadFailed(Unavailable):
    """The official weights could not be downloaded completely; nothing was stored."""

    slug, title = "download-failed", "The download failed"


class WrongDigest(Invalid):
    """The downloaded weights do not match the published digest; they were discarded."""

    slug, title = "wrong-digest", "The digest of the weights does not match"

    def __init__(self, name: str, *, expected: str, received: str) -> None:
        message = f"{name} should have SHA-256 {expected}, but has {received}."
        super().__init__(message, errors=[FieldError("query/sha256", "wrong-digest", message)])
