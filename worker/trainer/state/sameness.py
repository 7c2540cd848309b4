"""Compares the facts that must be equal for a training to give the same numbers again.

Two machines of the same kind with the same installation agree. An error names the difference, so
that the operator sees why a job was resumed plainly.
"""

import os
import platform
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, TypeAlias

import torch

from worker.trainer.plugins.interface import plugin_version
from worker.trainer.protocol import JobFile
from worker.trainer.state.not_exact import NotExact, Reason

Environment: TypeAlias = dict[str, str | int | None]

_LIBRARIES: Final = ("ultralytics", "torch", "torchvision", "numpy", "cv2", "PIL")
"""Modules with a `__version__`; package names are not used, since some modules have several."""
_ALBUMENTATIONS: Final = ("albumentations", "albumentationsx")
_REASONS: Final[dict[str, Reason]] = {
    "albumentations": "other_albumentations",
    "plugin": "other_plugin",
    "threads": "other_threads",
    "cpu": "other_cpu",
    "device": "other_device",
}
"""The reasons of facts that have their own; all other facts are versions."""


def environment_of(job_file: JobFile) -> Environment:
    """Return the facts of this process that a training's numbers depend on, by name.

    These are versions of Python and libraries, threads, CPU and device.
    """
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{library: str(import_module(library).__version__) for library in _LIBRARIES},
        "albumentations": next(filter(None, map(_version, _ALBUMENTATIONS)), None),
        "plugin": None
        if job_file.spec.trainer is None
        else plugin_version(job_file.spec.trainer.name),
        "threads": job_file.threads,
        "cpu": _cpu(),
        "device": _device(job_file.device),
    }


def compare_environment(saved: Mapping[str, object], job_file: JobFile) -> None:
    """Compare the facts of this process with the saved ones.

    Raises:
        NotExact: A training would give different numbers here.
    """
    here = environment_of(job_file)
    for name in sorted(here.keys() | saved.keys()):
        if here.get(name) != saved.get(name):
            raise NotExact(
                _REASONS.get(name, "other_versions"),
                f"The training had {name} {saved.get(name)}, and here it is {here.get(name)}.",
            )
    cores = len(os.sched_getaffinity(0))
    if job_file.device == "cpu" and cores < job_file.threads:
        raise NotExact(
            "fewer_cores",
            f"The job computes with {job_file.threads} threads, and here are only {cores} cores.",
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """Return architecture, vendor and instruction set: torch's libraries choose kernels by them."""
    return f"{platform.machine()} {_vendor()} {torch.backends.cpu.get_cpu_capability()}"


def _vendor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
    return next(named, "")


def _device(device: str) -> str:
    if device == "cpu":
        return device
    name = torch.cuda.get_device_name(int(device))
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"{name}, CUDA {torch.version.cuda}, cuDNN {cudnn}"
