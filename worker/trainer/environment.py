"""The clean environment of a trainer process, and the Ultralytics configuration that it reads.

Only the variables of a short list are inherited, and the configuration keeps Ultralytics off the
network.
"""

import importlib.util
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.core.files import write_whole

INHERITED: Final = ("PATH", "LD_LIBRARY_PATH", "TZ", "NVIDIA_DRIVER_CAPABILITIES")
FONT_LISTS: Final = "fontlist-*.json"
"""The files in which matplotlib keeps which fonts the system has."""
SETTINGS_VERSION: Final = "0.0.8"
FONTS: Final = ("Arial.ttf", "Arial.Unicode.ttf")
INTEGRATIONS: Final = ("clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")

# multiprocessing appends up to 34 characters to TMPDIR; a unix socket's path ends at 107.
_LONGEST_TMPDIR: Final = 70
_OFFLINE: Final = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "MPLBACKEND": "Agg",
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "PYTHONSAFEPATH": "1",
}


def trainer_environment(
    job_directory: Path, *, gpu: str | None, base: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a job's trainer process, and write the configuration it refers to.

    Args:
        job_directory: The attempt's own, private folder; becomes HOME and contains `config/`.
        gpu: The value of CUDA_VISIBLE_DEVICES; None hides all GPUs.
        base: The environment of the worker; only the variables of `INHERITED` and the absolute
            parts of PYTHONPATH are copied.

    Raises:
        FileNotFoundError: matplotlib, whose font replaces Ultralytics' fonts, is not installed.
    """
    config = job_directory / "config"
    modules = absolute_parts(base.get("PYTHONPATH", ""))
    _write_config(config / "Ultralytics")
    _copy_font_lists(_shared_font_lists(base), font_lists_of(job_directory))
    return {
        "MPLCONFIGDIR": str(font_lists_of(job_directory)),
        **{name: base[name] for name in INHERITED if name in base},
        **({"PYTHONPATH": modules} if modules else {}),
        **_OFFLINE,
        "HOME": str(job_directory),
        "TMPDIR": str(_short_enough(job_directory)),
        "YOLO_CONFIG_DIR": str(config),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # as the driver counts; CUDA's own order is by speed
        "CUDA_VISIBLE_DEVICES": gpu or "",
    }


def absolute_parts(path: str) -> str:
    """Return a search path without its relative parts.

    The trainer must find the same trainer plugins on its PYTHONPATH as the worker, but a relative
    part would mean the folder that a training writes to.
    """
    return os.pathsep.join(part for part in path.split(os.pathsep) if Path(part).is_absolute())


def ultralytics_settings(config: Path) -> dict[str, object]:
    """Return a complete settings.json; if a key is missing, Ultralytics writes its defaults."""
    return {
        "settings_version": SETTINGS_VERSION,
        "datasets_dir": str(config / "datasets"),
        "weights_dir": str(config / "weights"),
        "runs_dir": str(config / "runs"),
        "uuid": "0" * 64,
        "sync": False,
        "api_key": "",
        "openai_api_key": "",
        **dict.fromkeys(INTEGRATIONS, False),
        "vscode_msg": False,
        "openvino_msg": False,
    }


def _write_config(config: Path) -> None:
    config.mkdir(parents=True, exist_ok=True)
    settings = json.dumps(ultralytics_settings(config), indent=2)
    (config / "settings.json").write_text(settings, encoding="utf-8")
    font = _font()
    for name in FONTS:
        (config / name).unlink(missing_ok=True)
        (config / name).symlink_to(font)


def _font() -> Path:
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        raise FileNotFoundError("matplotlib, which Ultralytics draws with, is not installed.")
    return Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


def font_lists_of(job_directory: Path) -> Path:
    """Return matplotlib's own folder of a job. What jobs could change together, one could forge."""
    return job_directory / "matplotlib"


def keep_font_lists(job_directory: Path, *, base: Mapping[str, str]) -> None:
    """Keep the list of fonts of a process that ran nothing of a job, for all later jobs.

    Listing the fonts of the system takes two seconds.
    """
    shared = _shared_font_lists(base)
    if shared is not None and not any(shared.glob(FONT_LISTS)):
        _copy_font_lists(font_lists_of(job_directory), shared)


def _shared_font_lists(base: Mapping[str, str]) -> Path | None:
    if base.get("MPLCONFIGDIR"):
        return Path(base["MPLCONFIGDIR"])
    cache = base.get("XDG_CACHE_HOME") or (base["HOME"] + "/.cache" if base.get("HOME") else "")
    return Path(cache) / "trainyard" / "matplotlib" if cache else None


def _copy_font_lists(source: Path | None, to: Path) -> None:
    with suppress(OSError):  # then matplotlib lists the fonts again
        for found in source.glob(FONT_LISTS) if source is not None else ():
            to.mkdir(parents=True, exist_ok=True)
            write_whole(to / found.name, found.read_bytes(), durable=False)


def _short_enough(directory: Path) -> Path:
    return directory if len(os.fsencode(directory)) <= _LONGEST_TMPDIR else Path("/tmp")  # noqa: S108 - the only short one
