"""The verbs of the client: one line of help, and where the verb is."""

from typing import Final

VERBS: Final[dict[str, tuple[str, str]]] = {}
