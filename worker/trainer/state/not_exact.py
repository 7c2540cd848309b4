"""The reasons why a resume is plain and not exact."""

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


OWN_LOADER: Final = "A trainer plugin uses its own data loader."


class NotExact(Exception):
    """The training cannot be resumed exactly, only plainly.

    Args:
        reason: The condition that is not met.
        message: One sentence for the user that describes the difference.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
