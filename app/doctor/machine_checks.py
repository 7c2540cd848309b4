"""Checks of this machine: its disks, its shared memory, its GPUs, and what is installed."""

import shutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement

from app.core.storage import ArtifactStore
from app.doctor.results import CheckResult, error, fine, warning
from app.settings import Settings
from app.settings.units import GIB, MIB
from app.version import VERSION

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- the kernel's name for it
DISTRIBUTION: Final = "trainyard-server"


def check_disks(settings: Settings) -> Iterator[CheckResult]:
    """Check the free space of home and store against the reserve that uploads leave."""
    reserve = settings.limits.disk_reserve_bytes
    root = ArtifactStore.from_settings(settings).local_root
    for name, folder in {"home": settings.home, "store": root}.items():
        if folder is None:
            continue
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        usage = shutil.disk_usage(existing)
        kept = min(reserve, usage.total // 10)
        free = f"{usage.free / GIB:.1f} GiB free on the disk of the {name}"
        if usage.free < kept:
            yield error(
                "disk",
                f"Only {free}; uploads and jobs are refused below {kept / GIB:.1f} GiB.",
                "Free some space, or run `trainyard collect`.",
            )
        else:
            yield fine("disk", f"{free}.")


def check_shared_memory(folder: Path = SHARED_MEMORY) -> Iterator[CheckResult]:
    """Check that the loader's processes have room to pass batches to the trainer."""
    if not folder.is_dir():
        return
    size = shutil.disk_usage(folder).total
    if size < GIB:
        yield warning(
            "shared memory",
            f"{folder} has {size // MIB} MiB; loaders of large batches need more.",
            "Start containers with --shm-size=8g, or train with fewer loader workers.",
        )
    else:
        yield fine("shared memory", f"{size / GIB:.1f} GiB.")


def check_packages() -> Iterator[CheckResult]:
    """Check that installed packages are within the ranges that this release was tested with."""
    outside = []
    for line in requires(DISTRIBUTION) or ():
        wanted = Requirement(line)
        installed = _version_of(wanted.name)
        applies = wanted.marker is None or wanted.marker.evaluate({"extra": "worker"})
        if not applies or "extra == 'dev'" in line or 'extra == "dev"' in line:
            continue
        if installed is not None and not wanted.specifier.contains(installed, prereleases=True):
            outside.append(f"{wanted.name} {installed} (needs {wanted.specifier})")
    if outside:
        yield error(
            "packages",
            f"Installed versions are outside of the tested ranges: {', '.join(outside)}.",
            "Install the versions of requirements.txt, in an environment of their own.",
        )
    else:
        yield fine("packages", f"Trainyard {VERSION}; every package is in its tested range.")
    if _version_of("torch") is None:
        yield fine("packages", "The worker's packages are not installed; this machine only serves.")


def check_gpus() -> Iterator[CheckResult]:
    """Check that torch was built for the GPUs of this machine."""
    devices = list(_gpus())
    torch = _version_of("torch")
    if not devices:
        driver = Path("/dev/nvidiactl").exists()
        if driver:
            yield warning(
                "gpu",
                "The NVIDIA driver is loaded, but names no GPU.",
                "Run nvidia-smi; containers need the NVIDIA runtime.",
            )
        else:
            yield fine("gpu", "None; jobs train on the CPU.")
        return
    if torch is not None and "+cpu" in torch:
        yield error(
            "gpu",
            f"torch {torch} cannot use {devices[0]}.",
            "Install torch from requirements-worker.txt, without a CPU index.",
        )
        return
    for device in devices:
        yield fine("gpu", device)


def _gpus() -> Iterator[str]:
    if find_spec("pynvml") is None:
        return
    nvml: Any = import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # no driver
        return
    try:
        driver = nvml.nvmlSystemGetDriverVersion()
        for index in range(nvml.nvmlDeviceGetCount()):
            device = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(device).total / GIB
            yield f"{nvml.nvmlDeviceGetName(device)}, {memory:.0f} GiB, driver {driver}"
    finally:
        nvml.nvmlShutdown()


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_environment(environment: Mapping[str, str]) -> Iterator[CheckResult]:
    """Check variables of this process that weaken what trainers are protected from."""
    if environment.get("LD_PRELOAD"):
        yield warning(
            "environment",
            "LD_PRELOAD is set: its library is loaded into every process.",
            "Unset it, unless you know what it is for.",
        )
