"""Enter a cage: a process with one thread gives up everything that the cage does not name."""

import os

from app.core.cage.definition import Cage, CageFailed, Layer
from app.core.cage.landlock import restrict
from app.core.cage.mounts import enter_new_root, users_for_mounts
from app.core.cage.namespaces import make_namespaces
from app.core.cage.parents import fork_below_parents
from app.core.cage.privileges import die_with, give_up_privileges
from app.core.cage.system_calls import ALL_FAMILIES, LOCAL_FAMILIES, filter_system_calls


def enter(cage: Cage) -> None:
    """Put this process into a cage, for good; call it while the process has one thread.

    With a namespace of processes, this returns in a grandchild, which leads a session. The process
    that called stays outside under its id: it passes signals on, ends as the grandchild ends, and
    never returns from here. Environment, open files and working directory stay as they are.

    Raises:
        CageFailed: a layer cannot be applied. The process must end then; this can be another
            process than the one that called.
    """
    parent = os.getppid()
    users = users_for_mounts(cage)
    make_namespaces(cage)
    die_with(parent)
    if cage.has(Layer.PROCESS_NAMESPACE):
        fork_below_parents(lambda: _change_root(cage, users))
        parent = os.getppid()
    else:
        _change_root(cage, users)
    give_up_privileges(cage)
    die_with(parent)
    _restrict(cage)


def enter_as_written(text: str) -> None:
    """Enter the cage that `Cage.to_json` wrote; see `enter`."""
    enter(Cage.from_json(text))


def _change_root(cage: Cage, users: int | None) -> None:
    if cage.has(Layer.MOUNT_NAMESPACE):
        enter_new_root(cage, users)
    if users is not None:
        os.close(users)


def _restrict(cage: Cage) -> None:
    if cage.has(Layer.LANDLOCK):
        try:
            restrict(cage)
        except OSError as error:
            raise CageFailed(Layer.LANDLOCK, error) from error
    if cage.has(Layer.SYSTEM_CALLS):
        try:
            filter_system_calls(_families(cage))
        except OSError as error:
            raise CageFailed(Layer.SYSTEM_CALLS, error) from error


def _families(cage: Cage) -> tuple[int, ...]:
    """Return the kinds of sockets; those of IP only where they reach no network that is not given.

    A filter sees no addresses, so without a namespace a loopback of the cage alone does not exist.
    """
    reaches_only_what_is_given = cage.network == "host" or cage.has(Layer.NETWORK_NAMESPACE)
    return ALL_FAMILIES if reaches_only_what_is_given else LOCAL_FAMILIES
