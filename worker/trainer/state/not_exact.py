"""Why a resume is plain and not exact, where it is."""

from typing import Final, Literal, TypeAlias

Reason: TypeAlias = Literal[
    "no_state",
    "unreadable_state",
    "other_format",
    "other_files",
    "other_versions",
    "other_albumentations",
    "other_threads",
    "fewer_cores",
    "other_cpu",
    "other_device",
    "other_batch",
    "other_batches",
    "other_workers",
    "unknown_loader",
    "unsaved_plugin_state",
    "other_plugin",
    "time_budget",
    "does_not_fit",
]


OWN_LOADER: Final = "A trainer plugin brings a data loader of its own."


class NotExact(Exception):
    """The training cannot go on as it would have; it can go on plainly. The text is for a person.

    Args:
        reason: which of the things that must be equal is not.
        message: one sentence of what was found.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
