"""Jobs that servers and workers of an earlier release wrote are completed for lists."""

from sqlalchemy import delete, select, update

from app.core.database import Database
from app.jobs.repository import edit_job
from app.jobs.tables import Job, JobWord
from app.ops.list_columns import complete_list_columns
from tests.worlds.rows import Rows, a_job, job_row


def forget_words(database: Database) -> None:
    with database.write() as unit:
        unit.session.execute(delete(JobWord))


def words(database: Database) -> list[str]:
    with database.read() as unit:
        return list(unit.session.scalars(select(JobWord.word).order_by(JobWord.word)))


class TestCompleteListColumns:
    def test_a_name_without_words_gets_them_once(self, database: Database, rows: Rows) -> None:
        a_job(database, rows, name="Night shift")
        a_job(database, rows, name="🚀")
        forget_words(database)

        assert complete_list_columns(database) == 1

        assert words(database) == ["night", "shift"]
        assert complete_list_columns(database) == 0

    def test_many_names_are_completed_in_batches(self, database: Database, rows: Rows) -> None:
        for number in range(3):
            a_job(database, rows, name=f"{number}")
        forget_words(database)

        assert complete_list_columns(database, batch=2) == 3

        assert words(database) == ["0", "1", "2"]

    def test_a_missing_or_outdated_rank_is_set_in_the_direction_of_the_metric(
        self, database: Database, rows: Rows
    ) -> None:
        spec = {"customize": {"best_model": {"metric": "val/noise", "direction": "lower"}}}
        ids = {
            "fitness": a_job(database, rows, best_metric="fitness", best_value=0.5),
            "loss": a_job(
                database, rows, best_metric="val/box_loss", best_value=0.5, best_rank=-0.75
            ),
            "own": a_job(
                database, rows, best_metric="val/noise", best_value=0.25, resolved_spec=spec
            ),
        }

        assert complete_list_columns(database) == 3

        ranks = {name: job_row(database, job_id).best_rank for name, job_id in ids.items()}
        assert ranks == {"fitness": 0.5, "loss": -0.5, "own": -0.25}
        assert complete_list_columns(database) == 0

    def test_a_renamed_job_keeps_the_words_of_its_new_name(
        self, database: Database, rows: Rows
    ) -> None:
        job_id = a_job(database, rows, name="night")
        with database.write() as unit:
            edit_job(unit.session, unit.session.get_one(Job, job_id), {"name": "day"}, None)
            unit.session.execute(update(Job).values(best_value=None))

        assert complete_list_columns(database) == 0

        assert words(database) == ["day"]
