"""The world `tenants`: projects with one of everything, and the people of each.

Every text of a tenant contains the tenant's mark, so that a test can look for it in any answer.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from app.accounts.tables import MemberRole
from app.artifacts.names import BEST, ArtifactKind
from app.artifacts.repository import insert_artifact
from app.core.context import Context
from app.core.database import Database, database_now
from app.core.ids import new_id
from app.datasets.tables import Dataset, DatasetVersion
from app.events.repository import append_event
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.models.tables import Model, ModelSource, ModelState
from app.uploads.creation import begin_upload
from app.uploads.repository import NewUpload
from app.webhooks.tables import DeliveryState
from tests.worlds.accounts import Person, a_key, a_person, a_project
from tests.worlds.rows import SHA, Rows, a_dataset, a_job
from tests.worlds.webhooks import a_delivery, a_webhook

COPIES = 2
"""Of everything, so that a list of one item has a second page."""


@dataclass(frozen=True)
class Tenant:
    """A project with jobs, datasets, uploads, models and people, and the ids of all of them."""

    mark: str
    project_id: str
    rows: Rows
    job_id: str
    model_id: str
    webhook_id: str
    delivery_id: str
    people: Mapping[MemberRole, Person]
    uploads: dict[str, str] = field(default_factory=dict)
    spare_keys: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> str:
        """Name of the project."""
        return self.mark

    @property
    def marks(self) -> tuple[str, ...]:
        """Texts by which this tenant is recognized in an answer."""
        people = [text for person in self.people.values() for text in (person.user_id, person.name)]
        keys = [person.key_id for person in self.people.values()]
        ids = [self.project_id, self.rows.dataset_id, self.rows.version_id, self.job_id]
        ids += [self.webhook_id, self.delivery_id]
        ids += [self.model_id, *self.uploads.values(), *self.spare_keys.values()]
        return (self.mark, *ids, *people, *keys)

    def path(self, template: str, person: Person) -> str:
        """Fill in a route's path with this tenant's objects; uploads and keys are the person's."""
        reference = {
            "/v1/datasets": self.rows.dataset_id,
            "/v1/models": self.model_id,
            "/v1/projects": self.project_id,
            "/v1/users": self.people[MemberRole.MEMBER].user_id,
        }
        ids = {
            "job_id": self.job_id,
            "upload_id": self.uploads[person.user_id],
            "key_id": self.spare_keys[person.user_id],
            "webhook_id": self.webhook_id,
            "delivery_id": self.delivery_id,
            "project_id": self.project_id,
            "user_id": self.people[MemberRole.MEMBER].user_id,
            "session_id": "ses_" + "0" * 26,
            "user_code": "BCDF-0000",
            "worker_id": "wrk_" + "0" * 26,
            "name": BEST,
            "epoch": "1",
            "number": "0",
            "image": "1",
            "user": self.people[MemberRole.VIEWER].user_id,
            "reference": reference.get("/".join(template.split("/")[:3]), ""),
        }
        return template.format_map(ids)

    @property
    def metadata(self) -> str:
        """The header of tus that names the project."""
        return f"project {b64encode(self.project.encode()).decode()}"


def a_tenant(context: Context, mark: str, folder: Path) -> Tenant:
    """Make a tenant whose names all contain `mark`."""
    database = context.database
    project_id = a_project(database, mark)
    people = {role: a_person(database, {project_id: role}) for role in MemberRole}
    admin = people[MemberRole.ADMIN]
    for number in range(COPIES):
        rows = _a_dataset(database, project_id, admin.user_id, f"{mark}-{number}")
        job_id = _a_job(context, rows, mark, folder)
        model_id = _a_model(database, project_id, f"{mark}-{number}.pt")
        hook = a_webhook(database, project_id, admin.user_id, f"https://127.0.0.1/{mark}")
        for _ in range(COPIES):
            delivery_id = a_delivery(database, hook.id, state=DeliveryState.DELIVERED)
    ids = (job_id, model_id, hook.id, delivery_id)
    tenant = Tenant(mark, project_id, rows, *ids, people)
    for person in people.values():
        for number in range(COPIES):
            new = NewUpload(project_id, person.user_id, f"{mark}-{number}.zip", 10, None)
            tenant.uploads[person.user_id] = begin_upload(context, new).id
        tenant.spare_keys[person.user_id] = a_key(database, person.user_id)[0]
    return tenant


def a_body(**document: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the keywords of a request with a JSON body."""
    return {"content": json.dumps(document), "headers": {"Content-Type": "application/json"}}


def _a_dataset(database: Database, project_id: str, user_id: str, name: str) -> Rows:
    with database.write() as unit:
        dataset_id, version_id = a_dataset(unit.session, project_id, user_id, name=name)
        unit.session.execute(
            update(DatasetVersion)
            .where(DatasetVersion.id == version_id)
            .values(classes=[f"circle {name}", "square"], manifest_bytes=1)
        )
        unit.session.execute(update(Dataset).where(Dataset.id == dataset_id).values(name=name))
    return Rows(user_id, project_id, dataset_id, version_id)


def _a_job(context: Context, rows: Rows, mark: str, folder: Path) -> str:
    file = folder / mark
    file.write_text(mark)
    stored = context.store.put_file(file)
    job_id = a_job(
        context.database,
        rows,
        name=mark,
        notes=mark,
        worker_id="wrk_shared",
        state=JobState.RUNNING,
        attempt=1,
        lease_expires_at=database_now(timedelta(hours=1)),
    )
    with context.database.write() as unit:
        insert_artifact(
            unit.session,
            job_id,
            stored,
            attempt=1,
            kind=ArtifactKind.WEIGHTS,
            name=BEST,
            epoch=1,
        )
        unit.session.execute(update(Job).where(Job.id == job_id).values(last_seq=2))
        append_event(unit.session, job_id, 2, "job.changed", data={"fields": [mark]})
    return job_id


def _a_model(database: Database, project_id: str, name: str) -> str:
    model_id = new_id("mdl")
    with database.write() as unit:
        unit.session.execute(
            insert(Model).values(
                id=model_id,
                project_id=project_id,
                name=name,
                state=ModelState.READY,
                task="detect",
                source=next(iter(ModelSource)),
                sha256=SHA,
                size_bytes=1,
                created_at=database_now(),
            )
        )
    return model_id
