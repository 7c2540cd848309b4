"""Curves of several jobs at once, read from either database."""

from app.core.database import Database
from app.jobs.curves import Curve, Selection, curve_sources, read_curves
from app.jobs.tables import Joint
from tests.jobs.trained import MAP, train
from tests.worlds.rows import Rows, a_job

SPEC = {"train": {"epochs": 4, "close_mosaic": 1, "mosaic": 1.0}, "task": "detect"}
FREEZE = {"customize": {"freeze": {"layers": "backbone", "epochs": 2}}}


def an_extended_job(database: Database, rows: Rows) -> tuple[str, str]:
    """Train a job of four epochs, and another one that continues it after the third."""
    parent = a_job(database, rows, resolved_spec=SPEC | FREEZE)
    train(database, parent, (0.1, 0.2, 0.3, 0.4), states=(3,))
    child = a_job(database, rows, parent_id=parent, resolved_spec=SPEC | FREEZE)
    with database.write() as unit:
        unit.session.add(Joint(job_id=child, epoch=3, best_epoch=3, best_value=0.3))
    train(database, child, (0.5,), states=(4,), first=4)
    return parent, child


def curves_of(
    database: Database,
    rows: Rows,
    *jobs: str,
    selection: Selection | None = None,
    lineage: bool = True,
) -> dict[str, Curve]:
    with database.read() as unit:
        sources = curve_sources(unit.session, [rows.project_id], jobs, lineage=lineage)
        return read_curves(unit.session, sources, selection or Selection())


class TestReadCurves:
    def test_a_child_has_the_epochs_of_its_parent_up_to_the_joint(
        self, database: Database, rows: Rows
    ) -> None:
        parent, child = an_extended_job(database, rows)

        curves = curves_of(database, rows, child, parent)

        assert {job: (each.epochs, each.series[MAP]) for job, each in curves.items()} == {
            child: ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.5]),
            parent: ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4]),
        }
        assert [(mark.epoch, mark.kind) for mark in curves[child].marks] == [
            (3, "layers_unfrozen"),
            (4, "extended"),
            (4, "mosaic_closed"),
        ]

    def test_seconds_rise_over_a_lineage(self, database: Database, rows: Rows) -> None:
        _, child = an_extended_job(database, rows)

        (curve,) = curves_of(database, rows, child).values()

        assert curve.seconds == sorted(curve.seconds)

    def test_a_part_is_selected_in_each_job(self, database: Database, rows: Rows) -> None:
        parent, child = an_extended_job(database, rows)

        part = Selection(frozenset({MAP}), since=2, until=4)
        curves = curves_of(database, rows, child, parent, selection=part)

        assert {job: each.series for job, each in curves.items()} == {
            child: {MAP: [0.3, 0.5]},
            parent: {MAP: [0.3, 0.4]},
        }

    def test_jobs_of_other_projects_are_left_out(self, database: Database, rows: Rows) -> None:
        parent, _ = an_extended_job(database, rows)

        with database.read() as unit:
            sources = curve_sources(unit.session, ["prj_other"], [parent], lineage=True)

        assert sources == {}
