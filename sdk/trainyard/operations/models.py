"""Weights: send a file that the server lacks, and wait until it was inspected."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from trainyard.core.connection import Connection, content_of
from trainyard.core.steps import FileContent, Operation, Request, Wait, call
from trainyard.errors import ConflictError, ModelRefusedError
from trainyard.packing.digests import digest_of
from trainyard.views.base import parsed
from trainyard.views.models import ModelView

NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")
POLL_SECONDS: Final = 0.5
DIGITS: Final = 8


@dataclass(frozen=True)
class ModelPush:
    """Weights to send.

    Args:
        path: the `.pt` file.
        name: for jobs; None: that of the file.
        project: None: the default project.
        task: that they must have; None: any.
        on_bytes: told how many bytes of how many were sent.
    """

    path: Path
    name: str | None = None
    project: str | None = None
    task: str | None = None
    on_bytes: Callable[[int, int], None] | None = None


def push_model(connection: Connection, push: ModelPush) -> Operation[ModelView]:
    """Send weights unless the server has them, and return the model when it can be used.

    Raises:
        ModelRefusedError: the inspection refused them.
        ProblemError: the server refuses the file.
    """
    digest, size = yield from call(partial(digest_of, push.path))
    name = push.name or NOT_IN_NAMES.sub("-", push.path.name).lstrip("._-")
    try:
        view = yield from _sent(connection, push, (name, digest, size))
    except ConflictError as error:
        if error.slug != "model-name-taken" or push.name is not None:
            raise
        other = f"{name.removesuffix('.pt')}-{digest[:DIGITS]}.pt"
        view = yield from _sent(connection, push, (other, digest, size))
    while view.state == "inspecting":
        yield Wait(POLL_SECONDS)
        view = yield from read_model(connection, view.id or view.name)
    if view.state == "refused":
        raise ModelRefusedError(f"The weights {push.path} were refused: {view.message}")
    return view


def read_model(connection: Connection, reference: str) -> Operation[ModelView]:
    """Read one model by its name or id."""
    document = yield from connection.json("GET", f"/v1/models/{reference}")
    return parsed(ModelView, document)


def _sent(
    connection: Connection, push: ModelPush, file: tuple[str, str, int]
) -> Operation[ModelView]:
    name, digest, size = file
    params = {"name": name, "sha256": digest, "project": push.project, "task": push.task}
    try:
        document = yield from connection.json(
            "POST", "/v1/models", params=params, is_repeatable=True
        )
    except ConflictError as error:
        if error.slug != "weights-missing":
            raise
        body = FileContent(push.path, 0, size, _counting(push, size))
        request = Request("POST", "/v1/models", params, content=body, is_repeatable=True)
        document = content_of((yield from connection.send(request)))
    return parsed(ModelView, document)


def _counting(push: ModelPush, size: int) -> Callable[[int], None]:
    sent = 0

    def count(more: int) -> None:
        nonlocal sent
        sent = min(sent + more, size)
        if push.on_bytes is not None:
            push.on_bytes(sent, size)

    return count
