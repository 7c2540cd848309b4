"""The folders that Ultralytics uses on this machine, read from its settings."""

import json
import os
import sys
from pathlib import Path


def settings_folder(name: str) -> Path | None:
    """Return a folder of Ultralytics' settings.json; None if it is not there.

    Args:
        name: `datasets_dir`, `weights_dir` or `runs_dir`.
    """
    try:
        text = (_configuration() / "Ultralytics" / "settings.json").read_text(encoding="utf-8")
        value = json.loads(text)[name]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Path(value) if isinstance(value, str) and value else None


def _configuration() -> Path:
    """Return the folder above Ultralytics' own, as `ultralytics.utils.get_user_config_dir` does."""
    own = os.environ.get("YOLO_CONFIG_DIR")
    if own:
        return Path(own).expanduser()
    if sys.platform == "win32":
        return Path.home() / "AppData" / "Roaming"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"))
