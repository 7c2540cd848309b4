"""Calls the callbacks of a trainer plugin."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from worker.trainer.run import TrainerMixin


class PluginCallbacks(TrainerMixin):
    """Calls a plugin's functions by event.

    Overrides `hook_after_callbacks` (after super), so all hooks after an event see the plugin's
    changes. Adds nothing to a checkpoint.
    """

    plugin_callbacks: ClassVar[Mapping[str, Callable[[Any], None]]]

    def hook_after_callbacks(self, event: str) -> None:
        """Call the plugin's function for the event, if it has one."""
        super().hook_after_callbacks(event)
        callback = self.plugin_callbacks.get(event)
        if callback is not None:
            callback(self)
