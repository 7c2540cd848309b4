"""What a stream sends, rendered once for all watchers, and who of them sees it."""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from app.accounts.keys import KeyScope
from app.events.log import LogPosition
from app.stream.rendering import RenderedMessage, rendered, rendered_state

SCOPES: Final = frozenset({KeyScope.JOBS_READ, KeyScope.DATASETS_READ, KeyScope.WORKERS_READ})


@dataclass(frozen=True)
class View:
    """What a watcher may see and wants to see.

    Attributes:
        projects: ids of the watcher's projects.
        scopes: of the watcher's credential.
        job_id: the only job that it watches; None: everything.
    """

    projects: frozenset[str]
    scopes: frozenset[str]
    job_id: str | None = None

    @classmethod
    def of(
        cls, projects: Collection[str], scopes: Collection[str], job_id: str | None = None
    ) -> "View":
        """Return the view of a credential; scopes that decide nothing here are left out."""
        return cls(frozenset(projects), SCOPES.intersection(scopes), job_id)


@dataclass(frozen=True)
class Item(ABC):
    """Something to send.

    Attributes:
        at: its position in the log; of current state, the position up to which the log was sent.
    """

    at: LogPosition

    @abstractmethod
    def part(self, view: View, *, is_live: bool) -> bytes:
        """Return the bytes for a watcher; none if the watcher does not see it.

        Args:
            view: of the watcher.
            is_live: false: the watcher still reads the log itself. It gets no row of the log here,
                and state without an id, which would move its position.
        """


@dataclass(frozen=True)
class LogItem(Item):
    """A row of the log."""

    project_id: str
    scope: str
    job_id: str | None
    data: bytes

    def part(self, view: View, *, is_live: bool) -> bytes:
        """Return the bytes for those who may see the row's project."""
        if not is_live or self.scope not in view.scopes or self.project_id not in view.projects:
            return b""
        return self.data if view.job_id in {None, self.job_id} else b""


@dataclass(frozen=True)
class SlotItem(Item):
    """A slot; only those who may see the project of its job learn which one it is."""

    project_id: str | None
    shown: RenderedMessage
    hidden: RenderedMessage

    def part(self, view: View, *, is_live: bool) -> bytes:
        """Return the bytes for those who may see slots."""
        if view.job_id is not None or KeyScope.WORKERS_READ not in view.scopes:
            return b""
        data = self.shown if self.project_id in view.projects else self.hidden
        return data.with_id if is_live else data.without_id


@dataclass(frozen=True)
class DatasetItem(Item):
    """The progress of a verification."""

    project_id: str
    data: RenderedMessage

    def part(self, view: View, *, is_live: bool) -> bytes:
        """Return the bytes for those who may see the dataset."""
        is_seen = self.project_id in view.projects and KeyScope.DATASETS_READ in view.scopes
        if view.job_id is not None or not is_seen:
            return b""
        return self.data.with_id if is_live else self.data.without_id


@dataclass(frozen=True)
class TickItem(Item):
    """Running jobs: `jobs` has project, id and member of the JSON object of each."""

    jobs: tuple[tuple[str, str, str], ...]

    def part(self, view: View, *, is_live: bool) -> bytes:
        """Return one message with the jobs that the watcher sees."""
        del is_live  # it has no id
        members = [
            member
            for project, job, member in self.jobs
            if project in view.projects and view.job_id in {None, job}
        ]
        return rendered("tick", '{"jobs":{' + ",".join(members) + "}}") if members else b""


QueueOfProject = tuple[str, str]
"""Id of a project, and name of a queue."""


@dataclass(frozen=True)
class QueuesItem(Item):
    """Queued and running jobs by project and queue, and which of these numbers changed."""

    id_: str
    counts: Mapping[QueueOfProject, tuple[int, int]]
    changed: frozenset[QueueOfProject]

    def part(self, view: View, *, is_live: bool) -> bytes:
        """Return one message with the sums over the watcher's projects."""
        if view.job_id is not None:
            return b""
        names = {queue for project, queue in self.changed if project in view.projects}
        if not names:
            return b""
        sums = {name: [0, 0] for name in sorted(names)}
        for (project, queue), (queued, running) in self.counts.items():
            if queue in names and project in view.projects:
                sums[queue][0] += queued
                sums[queue][1] += running
        shown = {name: {"queued": each[0], "running": each[1]} for name, each in sums.items()}
        text = json.dumps({"queues": shown}, ensure_ascii=False, separators=(",", ":"))
        data = rendered_state("fleet", text, id_=self.id_)
        return data.with_id if is_live else data.without_id


class Batch:
    """Items that are sent together; what equal watchers get is put together once."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self.items = tuple(items)
        self._chunks: dict[tuple[View, bool], bytes] = {}

    def chunk(self, view: View, *, is_live: bool) -> bytes:
        """Return the bytes for a watcher; see `Item.part`."""
        found = self._chunks.get((view, is_live))
        if found is None:
            found = b"".join(item.part(view, is_live=is_live) for item in self.items)
            self._chunks[view, is_live] = found
        return found

    def chunk_after(self, passed: LogPosition, view: View) -> bytes:
        """Return the bytes for a watcher that is ahead: it has the log up to `passed`."""
        return b"".join(item.part(view, is_live=item.at > passed) for item in self.items)
