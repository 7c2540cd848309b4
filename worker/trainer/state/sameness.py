"""What must be equal for a training to give the same numbers again, and what is different.

Two machines of one kind and one installation agree. What differs is named, so that the operator
sees why a job was resumed plainly.
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
"""Modules, which are asked themselves: packages of some have several names."""
_ALBUMENTATIONS: Final = ("albumentations", "albumentationsx")
_REASONS: Final[dict[str, Reason]] = {
    "albumentations": "other_albumentations",
    "plugin": "other_plugin",
    "threads": "other_threads",
    "cpu": "other_cpu",
    "device": "other_device",
}
"""Of facts that have a reason of their own; all others are versions."""


def environment_of(job: JobFile) -> Environment:
    """Return the facts of this process that a training's numbers depend on, by name."""
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{library: str(import_module(library).__version__) for library in _LIBRARIES},
        "albumentations": next(filter(None, map(_version, _ALBUMENTATIONS)), None),
        "plugin": None if job.spec.trainer is None else plugin_version(job.spec.trainer.name),
        "threads": job.threads,
        "cpu": _cpu(),
        "device": _device(job.device),
    }


def compare_environment(saved: Mapping[str, object], job: JobFile) -> None:
    """Hold the facts of this process to those of another one.

    Raises:
        NotExact: a training would give other numbers here.
    """
    here = environment_of(job)
    for name in sorted(here.keys() | saved.keys()):
        if here.get(name) != saved.get(name):
            raise NotExact(
                _REASONS.get(name, "other_versions"),
                f"The training had {name} {saved.get(name)}, and here it is {here.get(name)}.",
            )
    cores = len(os.sched_getaffinity(0))
    if job.device == "cpu" and cores < job.threads:
        raise NotExact(
            "fewer_cores", f"The job computes with {job.threads} threads, here are {cores} cores."
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """Architecture, maker and instruction set: what torch's libraries choose their kernels by."""
    return f"{platform.machine()} {_maker()} {torch.backends.cpu.get_cpu_capability()}"


def _maker() -> str:
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
