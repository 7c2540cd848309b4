"""The mark that a home and its artifact store belong together: the same id in a file of each.

A store that is not mounted, or that is of another instance, would look empty: jobs would fail, and
the collector would take what it finds there for garbage.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.configuration import BadConfiguration
from app.core.files import made_once
from app.core.guarded_files import FileRefused, read_regular
from app.core.ids import new_id
from app.core.storage import ArtifactStore, store_mark
from app.core.store_errors import StoreUnavailable
from app.settings import Settings

MARK: Final = "store-id"
MOST_BYTES: Final = 100


def check_instance(settings: Settings) -> None:
    """Check that home and store carry the same mark; the first start makes it.

    A new home takes over the mark of a store: several machines may share one. A remote store that
    cannot be reached is not checked.

    Raises:
        BadConfiguration: the home belongs to another user, or the store is missing, or that of
            another instance.
    """
    _check_owner(settings.home)
    store = ArtifactStore.from_settings(settings)
    of_home = _read(settings.home / MARK)
    try:
        of_store = store_mark(store, MARK, None if of_home else new_id("ins"))
    except StoreUnavailable:
        return
    if of_home is None and of_store is not None:
        of_home = made_once(settings.home / MARK, lambda: of_store)
    if of_store is None:
        raise BadConfiguration(
            f"store_url: the artifact store has no file {MARK}, though this home has one. Is the "
            f"store mounted? If you moved it on purpose, copy {settings.home / MARK} into it."
        )
    if of_home != of_store:
        raise BadConfiguration(
            f"store_url: the artifact store is that of another instance ({of_store}), and this "
            f"home is of {of_home}. Name the right store or home; if they belong together, remove "
            f"{settings.home / MARK}."
        )


def _check_owner(home: Path) -> None:
    with suppress(FileNotFoundError):
        if os.geteuid() not in {0, home.stat().st_uid}:
            raise BadConfiguration(f"home (TRAINYARD_HOME): {home} belongs to another user")


def _read(mark: Path) -> str | None:
    try:
        return read_regular(mark, most_bytes=MOST_BYTES).decode("ascii", "replace").strip() or None
    except FileNotFoundError:
        return None
    except FileRefused as error:
        raise BadConfiguration(f"home (TRAINYARD_HOME): its file {MARK} {error}") from error
