"""Models: architectures and weights."""

from datetime import datetime

from trainyard.views.base import View


class ModelView(View):
    """An architecture that trains from scratch, or weights."""

    id: str | None
    name: str
    project: str | None
    kind: str
    state: str
    task: str | None
    architecture: str | None
    classes: list[str] | None
    message: str | None
    sha256: str | None
    size_bytes: int | None
    created_at: datetime | None
    inspected_at: datetime | None
