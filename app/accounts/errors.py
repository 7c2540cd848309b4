"""Errors of credentials, their scopes and projects."""

from app.core.errors import Forbidden, Invalid


class InsufficientScope(Forbidden):
    """The key is valid but does not have the required scope."""

    slug, title = "insufficient-scope", "The key lacks a scope"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"This request requires a key with the scope {scope}.", extra={"scope": scope}
        )


class UnknownProject(Invalid):
    """The caller has no project with this name."""

    slug, title = "unknown-project", "Unknown project"
