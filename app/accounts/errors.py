"""How a credential or its reach can fall short."""

from app.core.errors import Forbidden, Invalid


class InsufficientScope(Forbidden):
    """The key is valid and lacks a scope."""

    slug, title = "insufficient-scope", "The key lacks a scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs a key with the scope {scope}.", extra={"scope": scope})


class UnknownProject(Invalid):
    """No project of this name is open to the caller."""

    slug, title = "unknown-project", "Unknown project"
