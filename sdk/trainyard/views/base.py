"""What all answers share."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trainyard.errors import UnexpectedAnswerError

V = TypeVar("V", bound="View")


class View(BaseModel):
    """A part of an answer. Words of a later server are kept, and never refused."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


def parsed(kind: type[V], document: Any) -> V:  # noqa: ANN401
    """Return a document of the server as its view.

    Args:
        kind: of the view.
        document: JSON.

    Raises:
        UnexpectedAnswerError: it is something else, perhaps the page of a proxy.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "/".join(str(part) for part in first["loc"]) or "the whole document"
        raise UnexpectedAnswerError(
            f"The server answered with something else than a {kind.__name__}: {where}:"
            f" {first['msg']}. Perhaps its release does not fit this client's."
        ) from error
