"""How naming or adding a base model can be refused."""

from app.core.errors import Conflict, FieldError, Invalid, NotFound, Unavailable


class UnknownModel(Invalid):
    """A spec names a model that is not offered, or not to this caller."""

    slug, title = "unknown-model", "Unknown model"

    def __init__(self, message: str) -> None:
        super().__init__(message, errors=[FieldError("/model", "unknown-model", message)])


class ModelNotHere(Invalid):
    """A spec names weights that nobody has brought in."""

    slug, title = "model-not-here", "The weights are not on this instance"

    def __init__(self, message: str) -> None:
        super().__init__(message, errors=[FieldError("/model", "model-not-here", message)])


class ModelNotReady(Conflict):
    """A spec names weights that no trainer process has looked at yet."""

    slug, title = "model-not-ready", "The weights are not ready"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The weights {name} are inspecting: they are ready once a worker has looked at them, "
            "which takes a live worker (GET /v1/workers) with a moment between two jobs."
        )


class ModelRefused(Invalid):
    """A spec names weights that an inspection refused."""

    slug, title = "model-refused", "The weights were refused"

    def __init__(self, name: str, reason: str) -> None:
        message = f"The weights {name} cannot be used. {reason}"
        super().__init__(message, errors=[FieldError("/model", "model-refused", message)])


class ModelNotFound(NotFound):
    """There is no such architecture, and no such model in the caller's projects."""

    slug, title = "model-not-found", "No such model"

    def __init__(self) -> None:
        super().__init__("There is no model of this id or name in your projects.")


class BadModelName(Invalid):
    """Weights cannot be brought in under this name."""

    slug, title = "bad-model-name", "Not a name for weights"


class UnknownTask(Invalid):
    """Nothing tells what weights of this name do."""

    slug, title = "unknown-task", "The task is not known"


class NotWeights(Invalid):
    """A file brought in as weights cannot be any."""

    slug, title = "not-weights", "Not a weights file"


class ModelNameTaken(Conflict):
    """Other weights have this name already."""

    slug, title = "model-name-taken", "The name is taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"Other weights are named {name} already; give another name.")


class DownloadFailed(Unavailable):
    """Official weights could not be fetched whole; nothing of them was kept."""

    slug, title = "download-failed", "The download failed"


class WrongDigest(Invalid):
    """Downloaded weights are not the ones that their name stands for; nothing was kept."""

    slug, title = "wrong-digest", "The weights have another digest"

    def __init__(self, name: str, *, expected: str, received: str) -> None:
        super().__init__(f"{name} should have SHA-256 {expected}, and has {received}.")
