"""`trainyard workers`: the slots of all workers, and which of them take jobs."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.shared import AsJson, Home, opened_database, print_rows, say

if TYPE_CHECKING:
    from app.fleet.tables import Cordon

workers = typer.Typer(no_args_is_help=True, help="List slots, and drain or cordon them.")

WorkerId = Annotated[str, typer.Argument(help="Id of the slot, as `trainyard workers list` shows.")]


@workers.command("list")
def list_workers(*, home: Home = None, as_json: AsJson = False) -> None:
    """List the slots: id, machine and slot, state, whether it takes jobs, and what it runs."""
    with opened_database(home) as database:
        from app.configuration import load_settings  # noqa: PLC0415
        from app.fleet.repository import all_workers, live_ids  # noqa: PLC0415
        from app.fleet.tables import Presence  # noqa: PLC0415
        from app.jobs.queue.occupants import occupants  # noqa: PLC0415

        silent = load_settings(home=home).timing.worker_silence
        with database.read() as unit:
            live = set(live_ids(unit.session, silent=silent))
            running = occupants(unit.session)
            rows = [
                {
                    "id": row.id,
                    "name": row.name,
                    "state": Presence.of(
                        is_stopped=row.stopped_at is not None, is_live=row.id in live
                    ),
                    "cordon": row.cordon,
                    "job": running[row.id].job_id if row.id in running else None,
                }
                for row in all_workers(unit.session)
            ]
    print_rows(rows, ("id", "name", "state", "cordon", "job"), as_json=as_json)


@workers.command("drain")
def drain(worker_id: WorkerId, *, home: Home = None) -> None:
    """Drain a slot: it takes no more jobs, and its job is stopped and continues elsewhere."""
    from app.fleet.tables import Cordon  # noqa: PLC0415

    _set(home, worker_id, Cordon.DRAINING)


@workers.command("cordon")
def cordon(worker_id: WorkerId, *, home: Home = None) -> None:
    """Cordon a slot: it finishes its job and takes no more."""
    from app.fleet.tables import Cordon  # noqa: PLC0415

    _set(home, worker_id, Cordon.CORDONED)


@workers.command("uncordon")
def uncordon(worker_id: WorkerId, *, home: Home = None) -> None:
    """Let a cordoned or drained slot take jobs again."""
    _set(home, worker_id, None)


def _set(home: Home, worker_id: str, cordon: "Cordon | None") -> None:
    with opened_database(home) as database:
        from app.audit.record import COMMAND  # noqa: PLC0415
        from app.fleet.cordons import set_cordon  # noqa: PLC0415

        set_cordon(database, COMMAND, worker_id, cordon)
        say(f"{worker_id}: {'takes jobs' if cordon is None else cordon}")
