"""Quotas over HTTP: what is refused, with which words, and who sets and sees the limits."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from app.accounts.tables import MemberRole, Membership, User
from app.audit.tables import AuditRecord
from app.fleet.repository import Registration, register_worker
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.repository import Quota, add_verifier_seconds, set_limits
from tests.api.refusals import assert_refused
from tests.api.uploads.tus import TUS
from tests.worlds.rows import some_rows
from tests.worlds.server import Api

pytestmark = pytest.mark.mostly_sqlite


@pytest.fixture
def limited(shared_api: Api) -> Iterator[Api]:
    """Yield a server without quotas and jobs; the test may set some."""
    yield shared_api
    nothing = dict.fromkeys(Quota)
    with shared_api.database.write() as unit:
        for subject in (shared_api.rows.project_id, shared_api.rows.user_id):
            set_limits(unit.session, subject, nothing)
        unit.session.execute(update(Job).values(state=JobState.PAUSED))
        unit.session.execute(update(User).values(is_admin=True))
        unit.session.execute(update(Membership).values(role=MemberRole.ADMIN))


def set_limit(api: Api, subject_id: str, quota: Quota, limit: int) -> None:
    with api.database.write() as unit:
        set_limits(unit.session, subject_id, {quota: limit})


def become(api: Api, role: MemberRole) -> None:
    """Make the caller a mere member of the project, with this role."""
    with api.database.write() as unit:
        unit.session.execute(update(User).values(is_admin=False))
        unit.session.execute(update(Membership).values(role=role))


class TestQueuedJobs:
    @pytest.mark.parametrize("whose", ["project", "user"])
    def test_a_submit_above_the_quota_is_told_the_limit_and_the_use(
        self, limited: Api, whose: str
    ) -> None:
        subject = limited.rows.project_id if whose == "project" else limited.rows.user_id
        limited.submit()
        set_limit(limited, subject, Quota.QUEUED_JOBS, 1)

        answer = limited.client.post("/v1/jobs", json=limited.spec())

        assert_refused(answer, status=429, slug="queue-full")
        named = {name: answer.json()[name] for name in ("quota", "of", "limit", "used")}
        assert named == {"quota": "queued_jobs", "of": whose, "limit": 1, "used": 1}
        assert "administrator" in answer.json()["detail"]

    def test_a_clone_and_a_resume_need_a_place_too(self, limited: Api) -> None:
        job = limited.submit()["links"]["self"]
        limited.client.post(f"{job}/pause").raise_for_status()
        set_limit(limited, limited.rows.project_id, Quota.QUEUED_JOBS, 0)

        answers = [
            limited.client.post(f"{job}/resume"),
            limited.client.post(f"{job}/clone", json={}),
        ]

        for answer in answers:
            assert_refused(answer, status=429, slug="queue-full")
        assert limited.client.get(job).json()["state"] == "paused"

    def test_a_repeated_submit_is_answered_although_the_queue_is_full(self, limited: Api) -> None:
        key = {"Idempotency-Key": "first"}
        limited.client.post("/v1/jobs", json=limited.spec(), headers=key)
        set_limit(limited, limited.rows.project_id, Quota.QUEUED_JOBS, 1)

        answer = limited.client.post("/v1/jobs", json=limited.spec(), headers=key)

        assert answer.status_code == 200

    def test_a_cancelled_job_makes_room(self, limited: Api) -> None:
        job = limited.submit()["links"]["self"]
        set_limit(limited, limited.rows.project_id, Quota.QUEUED_JOBS, 1)

        limited.client.post(f"{job}/cancel").raise_for_status()

        assert limited.client.post("/v1/jobs", json=limited.spec()).status_code == 201


class TestRunningJobs:
    def test_a_job_above_the_limit_says_why_it_waits(self, limited: Api) -> None:
        set_limit(limited, limited.rows.project_id, Quota.RUNNING_JOBS, 0)
        slot = Registration("node", "cpu", "first", "here", ("default",), 0, "0.1.0", [])
        with limited.database.write() as unit:
            register_worker(unit.session, slot)

        assert limited.submit()["waiting_reason"] == "project_running_limit"


class TestBytes:
    def test_an_upload_above_the_quota_of_kept_uploads_is_refused(self, limited: Api) -> None:
        set_limit(limited, limited.rows.project_id, Quota.UPLOADED_BYTES, 99)

        answer = limited.client.post(
            "/v1/uploads",
            headers={**TUS, "Upload-Length": "100", "Upload-Metadata": "filename YQ=="},
        )

        assert_refused(answer, status=403, slug="quota-exceeded")
        assert answer.json()["quota"] == "uploaded_bytes"

    def test_an_archive_above_the_quota_of_stored_bytes_is_refused(self, limited: Api) -> None:
        set_limit(limited, limited.rows.project_id, Quota.STORED_BYTES, 20)

        answer = limited.client.post(
            "/v1/datasets",
            params={"name": "new"},
            content=b"PK" + b"0" * 60,
            headers={"content-type": "application/zip"},
        )

        assert_refused(answer, status=403, slug="quota-exceeded")

    def test_a_project_that_has_stored_all_its_bytes_submits_no_job(self, limited: Api) -> None:
        set_limit(limited, limited.rows.project_id, Quota.STORED_BYTES, 1)

        answer = limited.client.post("/v1/jobs", json=limited.spec())

        assert_refused(answer, status=403, slug="quota-exceeded")

    def test_an_archive_is_refused_after_the_verifier_time_of_the_day(self, limited: Api) -> None:
        set_limit(limited, limited.rows.user_id, Quota.VERIFIER_SECONDS, 60)
        with limited.database.write() as unit:
            add_verifier_seconds(unit.session, [limited.rows.user_id], 75.2)

        answer = limited.client.post(
            "/v1/datasets",
            params={"name": "new"},
            content=b"PK",
            headers={"content-type": "application/zip"},
        )

        assert_refused(answer, status=403, slug="quota-exceeded")
        assert (answer.json()["of"], answer.json()["used"]) == ("user", 75)


class TestPriority:
    def test_a_member_learns_the_ceiling_of_the_role(self, limited: Api) -> None:
        become(limited, MemberRole.MEMBER)

        answer = limited.client.post("/v1/jobs", json=limited.spec(priority=51))

        assert_refused(answer, status=422, slug="priority-too-high", pointer="/priority")
        assert answer.json()["ceiling"] == 50

    def test_a_member_cannot_raise_a_job_above_the_ceiling_later(self, limited: Api) -> None:
        become(limited, MemberRole.MEMBER)
        job = limited.submit(priority=50)["links"]["self"]

        answer = limited.client.patch(job, json={"priority": 51})

        assert_refused(answer, status=422, slug="priority-too-high")

    def test_an_admin_of_the_project_may_use_a_higher_one(self, limited: Api) -> None:
        become(limited, MemberRole.ADMIN)

        assert limited.submit(priority=100)["priority"] == 100

    def test_the_administrator_may_use_any(self, limited: Api) -> None:
        assert limited.submit(priority=100)["priority"] == 100


class TestRoutes:
    @pytest.mark.parametrize("whose", ["projects", "users"])
    def test_an_administrator_sets_quotas_and_reads_them_with_the_use(
        self, limited: Api, whose: str
    ) -> None:
        subject = limited.rows.project_id if whose == "projects" else limited.rows.user_id
        path = f"/v1/{whose}/{subject}/quotas"

        answer = limited.client.put(path, json={"queued_jobs": 7, "stored_bytes": 2**40})

        assert answer.json()["queued_jobs"]["limit"] == 7
        assert limited.client.get(path).json() == answer.json()
        assert limited.client.put(path, json={}).json()["queued_jobs"]["limit"] is None

    def test_a_change_is_in_the_audit_log(self, limited: Api) -> None:
        path = f"/v1/projects/{limited.rows.project_id}/quotas"

        limited.client.put(path, json={"running_jobs": 3}).raise_for_status()

        with limited.database.read() as unit:
            entry = unit.session.scalars(
                select(AuditRecord).order_by(AuditRecord.id.desc())
            ).first()
        assert entry is not None
        assert (entry.action, entry.target) == ("quotas.set", limited.rows.project_id)
        assert entry.details["running_jobs"] == 3

    def test_a_member_reads_the_quotas_and_cannot_set_them(self, limited: Api) -> None:
        become(limited, MemberRole.MEMBER)
        path = f"/v1/projects/{limited.rows.project_id}/quotas"

        read, written = limited.client.get(path), limited.client.put(path, json={})

        assert read.status_code == 200
        assert_refused(written, status=403, slug="insufficient-role")

    @pytest.mark.parametrize("subject_id", ["prj_unknown", "%00", "x" * 40])
    @pytest.mark.parametrize("whose", ["projects", "users"])
    def test_an_unknown_id_has_no_quotas(self, limited: Api, whose: str, subject_id: str) -> None:
        path = f"/v1/{whose}/{subject_id}/quotas"

        answers = [limited.client.get(path), limited.client.put(path, json={})]

        assert [answer.status_code for answer in answers] in ([404, 404], [400, 400], [422, 422])

    @pytest.mark.parametrize("whose", ["projects", "users"])
    def test_the_quotas_of_others_are_not_found(self, limited: Api, whose: str) -> None:
        other = some_rows(limited.database, name=f"other {whose}")
        become(limited, MemberRole.ADMIN)
        subject = other.project_id if whose == "projects" else other.user_id

        answer = limited.client.get(f"/v1/{whose}/{subject}/quotas")

        assert_refused(answer, status=404, slug="quotas-not-found")

    @pytest.mark.parametrize(
        "body",
        [
            {"queued_jobs": -1},
            {"queued_jobs": 1.5},
            {"stored_bytes": 2**60},
            {"jobs": 1},
            {"queued_jobs": True},
        ],
    )
    def test_a_bad_limit_is_refused(self, limited: Api, body: dict[str, object]) -> None:
        path = f"/v1/projects/{limited.rows.project_id}/quotas"

        assert_refused(limited.client.put(path, json=body), status=422, slug="validation-error")
