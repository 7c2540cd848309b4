"""What a cage is: the layers that hold a process, and what the process may still reach."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final, Literal

FAILED: Final = 70
"""Exit code of a process that could not enter its cage; `EX_SOFTWARE` of sysexits.h."""

Network = Literal["none", "host"]


class Layer(StrEnum):
    """One means of the kernel, in the order in which they are tried; a cage may lack any of them.

    USER_NAMESPACE: privileges to make the other namespaces, where the worker has none.
    MOUNT_NAMESPACE: a file system with nothing but what the cage names, and private /tmp, /dev/shm.
    OWN_USER: another user than that of the worker, if the worker is root.
    PROCESS_NAMESPACE: no process outside is visible, and none inside outlives the attempt.
    NETWORK_NAMESPACE: a loopback interface of its own, and no other.
    NO_NEW_PRIVILEGES: no program gains privileges by being executed.
    CAPABILITIES: no capability, and none to gain.
    LANDLOCK: files by path, and on new kernels also signals and sockets, whatever else is missing.
    SYSTEM_CALLS: a filter of system calls that no training needs.
    LIMITS: of processes, sizes of files, open files, memory and core dumps.
    """

    USER_NAMESPACE = "user_namespace"
    MOUNT_NAMESPACE = "mount_namespace"
    OWN_USER = "own_user"
    PROCESS_NAMESPACE = "process_namespace"
    NETWORK_NAMESPACE = "network_namespace"
    NO_NEW_PRIVILEGES = "no_new_privileges"
    CAPABILITIES = "capabilities"
    LANDLOCK = "landlock"
    SYSTEM_CALLS = "system_calls"
    LIMITS = "limits"


class CageFailed(Exception):
    """A layer that this cage has to have could not be applied; the text names it and the reason."""

    def __init__(self, layer: Layer, reason: object) -> None:
        super().__init__(f"{layer}: {reason}")
        self.layer, self.reason = layer, str(reason)


@dataclass(frozen=True)
class Cage:
    """What one process may reach, and the layers that hold it. All paths are absolute.

    `code` may be read and executed, `read` only read, and in `write` the process may do everything
    but execute; `listed` are folders that imports list, of which nothing else can be read. What
    does not exist is left out. `devices` may be used, such as those of a GPU. `user` is the id that
    the process gets as user and group if it has the layer OWN_USER. A limit of None leaves what the
    process has.
    """

    code: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    network: Network = "none"
    user: int | None = None
    processes: int | None = None
    open_files: int | None = None
    file_bytes: int | None = None
    memory_bytes: int | None = None
    layers: tuple[Layer, ...] = tuple(Layer)

    def has(self, layer: Layer) -> bool:
        """Return whether the cage has a layer."""
        return layer in self.layers

    def with_layers(self, layers: Iterable[Layer]) -> "Cage":
        """Return the same cage with other layers."""
        return replace(self, layers=tuple(layers))

    def to_json(self) -> str:
        """Return the text that `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Cage":
        """Return the cage that `to_json` wrote."""
        written: dict[str, Any] = json.loads(text)
        written["layers"] = list(map(Layer, written["layers"]))
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in written.items()
        }
        return cls(**fields)
