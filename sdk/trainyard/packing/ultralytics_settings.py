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
    for folder in _candidates():
        try:
            value = json.loads((folder / "settings.json").read_text(encoding="utf-8"))[name]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if isinstance(value, str) and value:
            return Path(value)
    return None


def _candidates() -> list[Path]:
    own = os.environ.get("YOLO_CONFIG_DIR")
    home = Path.home()
    usual = {
        "win32": home / "AppData" / "Roaming" / "Ultralytics",
        "darwin": home / "Library" / "Application Support" / "Ultralytics",
    }.get(sys.platform, home / ".config" / "Ultralytics")
    return [*([Path(own) / "Ultralytics", Path(own)] if own else []), usual]
