"""How naming or adding a base model can be refused."""

from app.core.errors import Conflict, FieldError, Invalid, Unavailable


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
