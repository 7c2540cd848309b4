"""A list has exactly the jobs of its filters, each once and in order, however it is read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core.database import Database
from app.core.ids import new_id
from app.core.words import words_of
from app.jobs.listing import filters, readers
from app.jobs.listing.filters import JobFilter, Scope
from app.jobs.listing.orders import JobOrder, Position
from app.jobs.listing.pages import listed_page
from app.jobs.listing.readers import ListReader
from app.jobs.listing.state_counts import state_counts
from app.jobs.repository import LISTED, insert_job
from app.jobs.search import Search
from app.jobs.states import JobState
from app.jobs.tables import Job
from tests.databases import shared_database
from tests.worlds.rows import NO_JOB, Rows, a_dataset, some_rows

JOBS = 70
START = datetime(2026, 1, 1, tzinfo=UTC)
LAST = "z\U0001f600"
NAMES = ("", "Night run 1", "night-shift_17", "nightly.RUN/2", "Größe 7", "GRÖSSE 17", "day", LAST)
MODELS = ("yolo26n.yaml", "yolo11x.pt")
TAGS: tuple[dict[str, str], ...] = (
    {},
    {"line": "4"},
    {"line": "4", "shift": "late"},
    {"line": "5"},
)
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
KEYS = ("created", "ended", "name", "best")


@dataclass(frozen=True)
class Known:
    """A job as the test made it."""

    job: Job
    tags: dict[str, str]


@dataclass(frozen=True)
class World:
    """Two projects of the caller with jobs, among those of a stranger."""

    database: Database
    project_ids: tuple[str, ...]
    datasets: tuple[tuple[str, str], ...]
    jobs: tuple[Known, ...]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    for url in shared_database(request, tmp_path_factory):
        database = Database(url, pool_size=2)
        yield a_world(database)
        database.dispose()


def a_world(database: Database) -> World:
    random = Random(14)
    projects = [some_rows(database, name=name) for name in ("default", "other", "strange")]
    with database.write() as unit:
        first = projects[0]
        more = a_dataset(unit.session, first.project_id, first.user_id, name="more")
    datasets = ((projects[0].dataset_id, projects[0].version_id), more)
    with database.write() as unit:
        made = [a_random_job(unit.session, random, projects, datasets)]
        for _ in range(JOBS):
            parent = made[0][0] if random.random() < 0.2 else None
            made.append(a_random_job(unit.session, random, projects, datasets, parent_id=parent))
    own = tuple(sorted(rows.project_id for rows in projects[:2]))
    with database.read() as unit:
        jobs = {job.id: job for job in unit.session.scalars(select(Job).options(*LISTED))}
    known = (Known(jobs[job_id], tags) for job_id, tags in made)
    return World(database, own, datasets, tuple(k for k in known if k.job.project_id in own))


def a_random_job(
    session: Session,
    random: Random,
    owners: Sequence[Rows],
    datasets: Sequence[tuple[str, str]],
    **columns: str | None,
) -> tuple[str, dict[str, str]]:
    owner, state = random.choice(owners), random.choice(list(JobState))
    is_first = owner is owners[0]
    dataset = random.choice(datasets) if is_first else (owner.dataset_id, owner.version_id)
    values: dict[str, Any] = {
        "id": new_id("job"),
        "project_id": owner.project_id,
        "owner_id": owner.user_id,
        "name": random.choice(NAMES),
        "notes": "",
        "queue": random.choice(("default", "slow")),
        "priority": 0,
        "max_restarts": 5,
        "dataset_id": dataset[0],
        "dataset_version_id": dataset[1],
        "model": random.choice(MODELS),
        "task": "detect",
        "spec": {},
        "resolved_spec": {},
        "spec_version": 1,
    }
    later: dict[str, Any] = {
        "state": state,
        "created_at": START + timedelta(hours=random.randrange(5)),
        "lease_expires_at": START if state is JobState.RUNNING else None,
    }
    if state in ENDED:
        later["ended_at"] = START + timedelta(hours=random.randrange(4, 9))
        later["trashed_at"] = START if random.random() < 0.3 else None
    if random.random() < 0.7:
        later["best_metric"] = random.choice(("fitness", "val/box_loss"))
        later["best_rank"] = random.choice((None, 0.25, -1.5, 0.1 + 0.2))
    tags = random.choice(TAGS)
    job = insert_job(session, values | columns, tags)
    session.execute(update(Job).where(Job.id == job.id).values(**later))
    return job.id, tags


@st.composite
def queries(draw: st.DrawFn) -> JobFilter:
    """Draw filters, most of which are absent; the datasets are named by their number."""

    def maybe(values: st.SearchStrategy[Any]) -> Any:  # noqa: ANN401 -- any filter
        return draw(st.one_of(st.none(), st.none(), st.none(), values))

    return JobFilter(
        states=tuple(maybe(st.lists(st.sampled_from(list(JobState)), unique=True)) or ()),
        dataset=maybe(st.sampled_from(("ds 0", "ds 1", "dsv 0", "dsv 1", "dsv_none"))),
        model=maybe(st.sampled_from((*MODELS, "none"))),
        queue=maybe(st.sampled_from(("default", "slow"))),
        parent=maybe(st.sampled_from(("first", NO_JOB))),
        best_metric=maybe(st.sampled_from(("fitness", "val/box_loss"))),
        name_prefix=maybe(st.sampled_from(("N", "night", "G", "", LAST))),
        tags=tuple(maybe(st.sampled_from(((("line", "4"),), (("line", "4"), ("shift", "late")))))
                   or ()),
        search=Search(
            words=tuple(maybe(st.lists(st.sampled_from(("ni", "run", "1", "grösse", "none")),
                                       max_size=2)) or ()),
        ),
        created_after=maybe(st.sampled_from((START, START + timedelta(hours=2)))),
        ended_after=maybe(st.sampled_from((START, START + timedelta(hours=6)))),
        in_trash=draw(st.sampled_from((False, False, True))),
    )  # fmt: skip


def named(filters: JobFilter, world: World) -> JobFilter:
    """Return the filters with ids for numbers."""
    kind, _, number = (filters.dataset or "").partition(" ")
    dataset = world.datasets[int(number)][kind == "dsv"] if number else filters.dataset
    first = min(known.job.parent_id or NO_JOB for known in world.jobs)
    parents = {known.job.parent_id for known in world.jobs} - {None}
    parent = next(iter(parents), first) if filters.parent == "first" else filters.parent
    return replace(filters, dataset=dataset, parent=parent)


def matches(known: Known, filters: JobFilter) -> bool:
    """Return whether a job is in the list, as the documents say it."""
    job, words = known.job, words_of(known.job.name)
    equal = {
        "model": job.model,
        "queue": job.queue,
        "parent": job.parent_id,
        "best_metric": job.best_metric,
    }
    wanted = {name: getattr(filters, name) for name in equal}
    return all(
        (
            not filters.states or job.state in filters.states,
            filters.dataset in {None, job.dataset_id, job.dataset_version_id},
            all(value in {None, equal[name]} for name, value in wanted.items()),
            job.name.startswith(filters.name_prefix or ""),
            all(known.tags.get(key) == value for key, value in filters.tags),
            all(any(w.startswith(part) for w in words) for part in filters.search.words),
            filters.created_after is None or job.created_at > filters.created_after,
            filters.ended_after is None
            or (job.ended_at is not None and job.ended_at > filters.ended_after),
            (job.trashed_at is not None) == filters.in_trash,
        )
    )


def in_order(jobs: Sequence[Known], order: JobOrder) -> list[str]:
    """Return the ids of jobs in an order."""
    rows = [known.job for known in jobs]
    if order.key == "best":
        ranked = [row for row in rows if row.best_rank is not None]
        others = [row for row in rows if row.best_rank is None]
        ranked.sort(key=lambda row: (row.best_rank, row.id), reverse=order.descending)
        others.sort(key=lambda row: row.id, reverse=order.descending)
        return [row.id for row in (*ranked, *others)]
    if order.key == "ended":
        rows = [row for row in rows if row.ended_at is not None]
    column = {"created": "created_at", "ended": "ended_at", "name": "name"}[order.key]
    rows.sort(key=lambda row: (getattr(row, column), row.id), reverse=order.descending)
    return [row.id for row in rows]


def pages(world: World, filters: JobFilter, order: JobOrder, *, limit: int) -> Iterator[list[str]]:
    """Yield the ids of each page, one request after the other."""
    after: Position | None = None
    scope = Scope(world.project_ids, filters.in_trash)
    while True:
        with world.database.read() as unit:
            reader = ListReader(unit.session, scope, filters)
            page = listed_page(unit.session, reader, order=order, after=after, limit=limit)
        yield [listed.job.id for listed in page.jobs]
        if page.next is None:
            return
        assert page.next != after
        after = page.next


@dataclass(frozen=True)
class Bounds:
    """Small ones, so that few jobs meet them."""

    few: int
    examined: int
    parts: int

    @contextmanager
    def set(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patched:
            for module, name, value in (
                (readers, "FEW", self.few),
                (filters, "FEW", self.few),
                (readers, "EXAMINED", self.examined),
                (readers, "LEAST_EXAMINED", 1),
                (readers, "MAX_PARTS", self.parts),
                (filters, "MAX_FOUND_PARTS", self.parts),
            ):
                patched.setattr(module, name, value)
            yield


bounds = st.builds(
    Bounds,
    few=st.sampled_from((0, 3, 1_000)),
    examined=st.sampled_from((2, 9, 5_000)),
    parts=st.sampled_from((1, 3, 100)),
)
orders = st.builds(JobOrder, st.sampled_from(KEYS), st.booleans())


class TestPages:
    @settings(max_examples=20)
    @given(query=queries(), order=orders, limit=st.sampled_from((2, 7, 50)), bounds=bounds)
    def test_pages_have_every_job_once_and_in_order(
        self, world: World, query: JobFilter, order: JobOrder, limit: int, bounds: Bounds
    ) -> None:
        wanted = named(query, world)
        expected = in_order([each for each in world.jobs if matches(each, wanted)], order)

        with bounds.set():
            found = list(pages(world, wanted, order, limit=limit))

        assert [job_id for page in found for job_id in page] == expected
        assert all(len(page) <= limit for page in found)

    def test_a_page_of_few_jobs_is_full(self, world: World) -> None:
        filters = JobFilter(model=MODELS[0], queue="default", search=Search(words=("n",)))

        found = list(pages(world, filters, JobOrder("name"), limit=3))

        assert all(len(page) == 3 for page in found[:-1])

    @pytest.mark.parametrize(
        "filters",
        [
            JobFilter(name_prefix="n"),
            JobFilter(search=Search(words=("n",))),
            JobFilter(states=ENDED, model=MODELS[0]),
            JobFilter(ended_after=START),
            JobFilter(model=MODELS[0], in_trash=True),
        ],
    )
    def test_a_caller_without_projects_has_one_empty_page(
        self, world: World, filters: JobFilter
    ) -> None:
        without = replace(world, project_ids=())

        assert list(pages(without, filters, JobOrder("created"), limit=3)) == [[]]

    def test_jobs_are_listed_by_their_ids_in_the_order_of_the_list(self, world: World) -> None:
        own, strange = [known.job for known in world.jobs], NO_JOB
        filters = JobFilter(ids=(own[3].id, strange, own[8].id, own[1].id))

        found = list(pages(world, filters, JobOrder("created"), limit=10))

        chosen = [known for known in world.jobs if known.job.id in (filters.ids or ())]
        outside = [known for known in chosen if known.job.trashed_at is None]
        assert found == [in_order(outside, JobOrder("created"))]


class TestCounts:
    @settings(max_examples=20)
    @given(query=queries(), bounds=bounds)
    def test_counts_are_those_of_the_list_without_its_states(
        self, world: World, query: JobFilter, bounds: Bounds
    ) -> None:
        wanted = named(query, world)
        found = [
            known.job.state for known in world.jobs if matches(known, replace(wanted, states=()))
        ]

        with bounds.set(), world.database.read() as unit:
            scope = Scope(world.project_ids, wanted.in_trash)
            counts = state_counts(unit.session, ListReader(unit.session, scope, wanted))

        assert counts.numbers == {state: found.count(state) for state in JobState}
        assert counts.capped == ()

    def test_counting_stops_at_a_bound(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.jobs.listing.state_counts.MAX_COUNT", 2)
        scope, wanted = Scope(world.project_ids, in_trash=False), JobFilter(model=MODELS[0])

        with world.database.read() as unit:
            counts = state_counts(unit.session, ListReader(unit.session, scope, wanted))

        states = [known.job.state for known in world.jobs if matches(known, wanted)]
        assert counts.numbers == {state: min(states.count(state), 2) for state in JobState}
        assert set(counts.capped) == {state for state in states if states.count(state) > 2}

    def test_a_state_whose_jobs_are_not_all_examined_has_a_lower_bound(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.jobs.listing.state_counts.EXAMINED", 5)
        scope, wanted = Scope(world.project_ids, in_trash=False), JobFilter(model=MODELS[0])

        with world.database.read() as unit:
            counts = state_counts(unit.session, ListReader(unit.session, scope, wanted))

        assert sum(counts.numbers.values()) == 6
        assert counts.capped == tuple(JobState)
