"""The callbacks of a trainer plugin."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from worker.trainer.run import Composed


class PluginCallbacks(Composed):
    """Calls a plugin's functions by event.

    Overrides `run_callbacks` (after super). Right over the plugin's own classes, so that whatever
    Trainyard makes of an event sees what the plugin did. Adds nothing to a checkpoint.
    """

    plugin_callbacks: ClassVar[Mapping[str, Callable[[Any], None]]]

    def run_callbacks(self, event: str) -> None:
        super().run_callbacks(event)
        callback = self.plugin_callbacks.get(event)
        if callback is not None:
            callback(self)
