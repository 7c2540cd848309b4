import pytest
from sqlalchemy import insert

from app.accounts.tables import Project
from app.core.database import Database, database_now
from app.core.errors import Invalid
from app.models.errors import (
    ModelNameTaken,
    ModelNotHere,
    ModelNotReady,
    ModelRefused,
    UnknownModel,
)
from app.models.repository import ResolvedModel, models_after, resolve_model
from app.models.tables import Model
from tests.models.builders import SHA256, a_model, a_ready_model, a_refused_model

pytestmark = pytest.mark.integration


def add(database: Database, name: str, *, project_id: str | None = None) -> Model:
    return a_ready_model(database, name, project_id=project_id)


def a_project(database: Database, name: str) -> str:
    with database.write() as unit:
        row = {"id": f"prj_{name}", "name": name, "created_at": database_now()}
        unit.session.execute(insert(Project).values(row))
    return f"prj_{name}"


def names_after(database: Database, name: str, *, limit: int = 10) -> list[str]:
    with database.read() as unit:
        found = models_after(unit.session, (), after=(name, "~"), limit=limit)
        return [model.name for model in found]


class TestResolveModel:
    def test_an_architecture_needs_no_bytes(self, database: Database) -> None:
        with database.read() as unit:
            found = resolve_model(unit.session, (), "yolo26n-pose.yaml")

        assert found == ResolvedModel(
            "architecture", "yolo26n-pose.yaml", "pose", None, "yolo26n-pose.yaml"
        )

    @pytest.mark.parametrize(
        ("reference", "error"),
        [
            ("yolo99n.yaml", UnknownModel),
            ("mdl_01JD0000000000000000000000", UnknownModel),
            ("yolo26n.pt", ModelNotHere),
            ("ours.pt", ModelNotHere),
        ],
    )
    def test_a_model_that_does_not_exist_is_refused_at_the_model_field(
        self, database: Database, reference: str, error: type[Invalid]
    ) -> None:
        with database.read() as unit, pytest.raises(error) as refusal:
            resolve_model(unit.session, (), reference)

        assert [error.pointer for error in refusal.value.errors] == ["/model"]

    def test_absent_official_weights_are_refused_with_the_command_that_brings_them(
        self, database: Database
    ) -> None:
        with database.read() as unit, pytest.raises(ModelNotHere) as refusal:
            resolve_model(unit.session, (), "yolo26n.pt")

        assert "trainyard models add --official yolo26n.pt" in refusal.value.detail

    def test_weights_are_what_their_inspection_found(self, database: Database) -> None:
        add(database, "ours.pt")

        with database.read() as unit:
            found = resolve_model(unit.session, (), "ours.pt")

        classes = ("circle", "square")
        assert found == ResolvedModel(
            "weights", "ours.pt", "detect", SHA256, "yolo26n.yaml", classes
        )

    def test_weights_that_nobody_has_looked_at_are_not_ready(self, database: Database) -> None:
        a_model(database, "ours.pt", task="detect")

        with database.read() as unit, pytest.raises(ModelNotReady):
            resolve_model(unit.session, (), "ours.pt")

    def test_refused_weights_are_refused_with_the_reason(self, database: Database) -> None:
        a_refused_model(database, "ours.pt", "It is cut.")

        with database.read() as unit, pytest.raises(ModelRefused) as refusal:
            resolve_model(unit.session, (), "ours.pt")

        assert [error.pointer for error in refusal.value.errors] == ["/model"]
        assert "It is cut." in refusal.value.detail

    def test_weights_of_a_project_are_its_own(self, database: Database) -> None:
        ours, theirs = a_project(database, "ours"), a_project(database, "theirs")
        add(database, "ours.pt", project_id=ours)

        with database.read() as unit:
            assert resolve_model(unit.session, {ours}, "ours.pt").sha256 == SHA256
            with pytest.raises(ModelNotHere):
                resolve_model(unit.session, {theirs}, "ours.pt")

    def test_a_name_is_taken_once(self, database: Database) -> None:
        add(database, "ours.pt")

        with pytest.raises(ModelNameTaken):
            add(database, "ours.pt")


class TestModelsAfter:
    def test_models_are_sorted_by_the_bytes_of_their_names_on_every_database(
        self, database: Database
    ) -> None:
        for name in ("b.pt", "B.pt", "a-b.pt", "a.pt", "aa.pt"):
            add(database, name)

        assert names_after(database, "") == ["B.pt", "a-b.pt", "a.pt", "aa.pt", "b.pt"]

    def test_pages_lose_nothing(self, database: Database) -> None:
        for name in ("b.pt", "B.pt", "a-b.pt"):
            add(database, name)

        first = names_after(database, "", limit=2)

        assert first + names_after(database, first[-1], limit=2) == ["B.pt", "a-b.pt", "b.pt"]
