"""How the processes of a server or of a slot are caged: found once, at the start."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from app.configuration import BadConfiguration
from app.core.cage.definition import Cage, Network
from app.core.cage.paths import code_paths, folders_of_own_packages, gpu_devices, without
from app.core.cage.trial import Found, TrialFailed, available_layers
from app.core.errors import Unavailable
from app.core.logging import get_logger
from app.settings import Settings
from app.settings.cage import CageMode

FIRST_USER: Final = 64_500
"""Users of caged processes, where the worker is root: the verifier, the CPU slot, then the GPUs."""
PROCESSES: Final = 4096
"""Processes and threads of one cage: loaders, and a pool of threads per core in each library."""
OPEN_FILES: Final = 65_536
FILE_BYTES: Final = 64 * 1024**3

log = get_logger(__name__)


class CageIncomplete(BadConfiguration):
    """The setting `cage` is `require`, and this machine lacks layers; the text names them."""


class CageNotTried(Unavailable):
    """The trial of the cage failed, so it is not known what would hold."""

    slug, title = "cage-not-tried", "The cage could not be tried"


@dataclass(frozen=True)
class CagePlan:
    """The cages of a server's or a slot's processes.

    Args:
        hidden: the home, of which a process sees only what its cage names.
        mode: see the setting `cage`.
        network: `host` gives the processes the network of the machine.
        user: their user, if the worker is root.
        has_gpus: whether they may use the GPUs.
    """

    hidden: Path
    mode: CageMode = "auto"
    network: Network = "none"
    user: int = FIRST_USER
    has_gpus: bool = False

    @classmethod
    def of_verifier(cls, settings: Settings) -> "CagePlan":
        """Return the plan of the processes that verify datasets."""
        return cls(settings.home, settings.cage)

    @classmethod
    def of_slot(cls, settings: Settings, slot: str, gpus: tuple[int, ...]) -> "CagePlan":
        """Return the plan of a slot's trainers, inspections and proofs."""
        return cls(
            settings.home,
            settings.cage,
            "host" if slot in settings.cage_host_network else "none",
            FIRST_USER + 1 + (1 + gpus[0] if gpus else 0),
            has_gpus=bool(gpus),
        )

    def layers(self) -> Found:
        """Return the layers that the machine has or lacks, each with the reason why it is missing.

        The first call of a process tries them, in half a second. The setting does not count here.
        """
        return _found_layers(_Widest(self._widest(), _file_system_of(self.hidden)))

    def check(self) -> None:
        """Log what is missing, once, at the start of a process.

        Raises:
            CageIncomplete: something is missing that the setting `cage` requires.
        """
        if self.mode == "off":
            log.warning("cage.off")
            return
        missing = {layer: reason for layer, reason in self.layers().items() if reason is not None}
        if missing and self.mode == "require":
            named = "; ".join(f"{layer} ({reason})" for layer, reason in missing.items())
            raise CageIncomplete(
                "cage (TRAINYARD_CAGE): `require` is set, and this machine lacks these layers of "
                f"the cage: {named}. Allow them, or set `auto`."
            )
        for layer, reason in missing.items():
            log.warning("cage.layer_missing", layer=layer, reason=reason)

    def cage(
        self,
        environment: Mapping[str, str],
        *,
        read: Iterable[Path] = (),
        write: Iterable[Path] = (),
        program: Sequence[str] = (),
    ) -> Cage | None:
        """Return the cage of one process; None if the setting is `off`, or no layer is there.

        Args:
            environment: of the process.
            read: what it may read besides code, such as its dataset.
            write: the folders that it may change.
            program: our part of its command line; the process may read the files named there.
        """
        if self.mode == "off":
            return None
        found = [layer for layer, reason in self.layers().items() if reason is None]
        if not found:  # as on macOS
            return None
        code, listed = _code(environment, self.hidden)
        named = [argument for argument in program if argument.startswith("/")]
        return replace(
            self._widest(),
            layers=tuple(found),
            code=code,
            listed=listed,
            read=(*_texts(read), *named),
            write=_texts(write),
        )

    def _widest(self) -> Cage:
        return Cage(
            code=_code(os.environ, self.hidden)[0],
            write=_texts([self.hidden]),
            devices=_texts(gpu_devices()) if self.has_gpus else (),
            network=self.network,
            user=self.user,
            processes=PROCESSES,
            open_files=OPEN_FILES,
            file_bytes=FILE_BYTES,
        )


@dataclass(frozen=True)
class _Widest:
    """A cage to try. Cages with other folders of the same file system have the same layers."""

    cage: Cage
    file_system: int | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Widest) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Cage, int | None]:
        return replace(self.cage, write=()), self.file_system


@cache
def _found_layers(widest: _Widest) -> Found:
    try:
        return available_layers(widest.cage)
    except TrialFailed as failure:  # without a cage, by mistake, would be worse than later
        raise CageNotTried(
            f"It could not be found out which layers of the cage this machine has: {failure}. "
            "Start again, or set TRAINYARD_CAGE=off to do without."
        ) from None


def _file_system_of(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def _code(environment: Mapping[str, str], hidden: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the paths of a program's code, and the folders that its imports list."""
    paths = (environment.get("PYTHONPATH", ""), environment.get("LD_LIBRARY_PATH", ""))
    return _code_for(*paths, hidden)


@cache
def _code_for(python: str, libraries: str, hidden: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = code_paths({"PYTHONPATH": python, "LD_LIBRARY_PATH": libraries})
    listed = folders_of_own_packages().union(path for path in found if path in hidden.parents)
    return _texts(without(found, hidden)), _texts(sorted(listed))


def _texts(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(map(str, paths))
