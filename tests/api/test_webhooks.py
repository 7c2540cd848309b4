"""`/v1/webhooks`: who manages webhooks, and what they see."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from sqlalchemy import select
from standardwebhooks import Webhook as Verifier

from app.accounts.tables import MemberRole, Project
from app.audit.tables import AuditRecord
from app.core.database import database_now
from app.webhooks.signatures import new_secret
from app.webhooks.tables import DeliveryState, WebhookState
from tests.api.asked import sql_on
from tests.waiting import eventually
from tests.worlds.accounts import Caller, a_person
from tests.worlds.server import Api, on, serving
from tests.worlds.webhooks import (
    LOCAL,
    Receiver,
    a_delivery,
    a_receiver,
    a_webhook,
    answering,
    webhook_row,
)

pytestmark = pytest.mark.mostly_sqlite

UNUSED = "http://127.0.0.1:1025/hook"
"""Where no receiver listens."""


@pytest.fixture(scope="module")
def api(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One server, which may reach receivers on this machine."""
    settings = on(module_database_url, tmp_path_factory.mktemp("webhooks") / "home")
    many = LOCAL.model_copy(update={"per_project": 1000})
    yield from serving(settings.model_copy(update={"webhooks": many}))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as running:
        yield running


def created(api: Api, url: str = UNUSED, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    answer = api.client.post("/v1/webhooks", json={"url": url, "events": ["job.*"], **changes})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def row_of(api: Api, url: str = UNUSED, **columns: object) -> str:
    """Add a webhook to the database, and return its id."""
    return a_webhook(api.database, api.rows.project_id, api.rows.user_id, url, **columns).id


def actions(api: Api, webhook_id: str) -> list[str]:
    with api.database.read() as unit:
        of_hook = select(AuditRecord.action).where(AuditRecord.target == webhook_id)
        return list(unit.session.scalars(of_hook.order_by(AuditRecord.id)))


class TestCreate:
    def test_a_new_webhook_shows_its_secret_once(self, api: Api) -> None:
        answer = api.client.post(
            "/v1/webhooks",
            json={"url": UNUSED, "events": ["job.*", "job.*"], "description": "Chat"},
        )

        made = answer.json()
        read = api.client.get(answer.headers["Location"])
        assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
        assert made["secret"].startswith("whsec_")
        assert read.json() == {name: made[name] for name in made if name != "secret"}
        assert read.headers["ETag"] == '"1"'
        assert (made["events"], made["project"], made["state"]) == (["job.*"], "default", "enabled")

    @pytest.mark.parametrize(
        ("url", "code"),
        [
            ("http://example.com@8.8.8.8/", "url-credentials"),
            ("ftp://8.8.8.8/", "url-scheme"),
            ("https://10.0.0.1/", "url-address"),
            ("https://169.254.169.254/latest/meta-data/", "url-address"),
            ("https://2130706433/", "url-host"),
            ("https://[::ffff:10.0.0.1]/", "url-host"),
            ("https://8.8.8.8:22/", "url-port"),
        ],
    )
    def test_w1_a_url_that_is_not_allowed_is_refused_by_name(
        self, api: Api, url: str, code: str
    ) -> None:
        answer = api.client.post("/v1/webhooks", json={"url": url, "events": ["*"]})

        assert problem(answer) == (422, "url-not-allowed")
        assert [(it["pointer"], it["code"]) for it in answer.json()["errors"]] == [("/url", code)]
        assert url not in answer.text

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"events": []}, "/events"),
            ({"events": ["job.suceeded"]}, "/events/0"),
            ({"events": ["j*"]}, "/events/0"),
            ({"url": "https://8.8.8.8/\u0000"}, "/url"),
            ({"url": "https://8.8.8.8/" + "a" * 2000}, "/url"),
            ({"description": "\u202e"}, "/description"),
            ({"description": "x" * 201}, "/description"),
            ({"secret": new_secret()}, "/secret"),
        ],
    )
    def test_a_field_that_is_wrong_is_named(
        self, api: Api, change: dict[str, Any], pointer: str
    ) -> None:
        body = {"url": UNUSED, "events": ["*"], **change}

        answer = api.client.post("/v1/webhooks", json=body)

        assert problem(answer) == (422, "validation-error")
        assert answer.json()["errors"][0]["pointer"] == pointer

    def test_a_project_has_no_more_webhooks_than_the_setting_allows(
        self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        settings = on(
            request.getfixturevalue("sqlite_url"), tmp_path_factory.mktemp("few") / "home"
        )
        few = LOCAL.model_copy(update={"per_project": 1})

        for api in serving(settings.model_copy(update={"webhooks": few})):
            created(api)
            answer = api.client.post("/v1/webhooks", json={"url": UNUSED, "events": ["*"]})

        assert problem(answer) == (403, "too-many-webhooks")
        assert answer.json()["limit"] == 1


class TestRoles:
    @pytest.mark.parametrize("role", [MemberRole.VIEWER, MemberRole.MEMBER])
    def test_only_admins_of_the_project_read_a_webhook(self, api: Api, role: MemberRole) -> None:
        webhook_id = row_of(api)
        ask = Caller(api.client, a_person(api.database, {api.rows.project_id: role}))

        answers = [
            ask.get(f"/v1/webhooks/{webhook_id}"),
            ask.get(f"/v1/webhooks/{webhook_id}/deliveries"),
            ask.get("/v1/webhooks", params={"project": "default"}),
        ]

        assert [problem(each) for each in answers] == [(403, "insufficient-role")] * 3
        assert ask.get("/v1/webhooks").json()["data"] == []

    def test_a_webhook_of_an_archived_project_can_be_read(self, api: Api) -> None:
        with api.database.write() as unit:
            now = database_now()
            unit.session.add(Project(id="prj_old", name="old", created_at=now, archived_at=now))
        person = a_person(api.database, {"prj_old": MemberRole.ADMIN})
        hook = a_webhook(api.database, "prj_old", person.user_id, UNUSED)
        ask = Caller(api.client, person)

        assert ask.get(f"/v1/webhooks/{hook.id}").status_code == 200
        assert [it["id"] for it in ask.get("/v1/webhooks?project=old").json()["data"]] == [hook.id]


class TestChange:
    def test_changed_fields_are_stored_and_the_revision_increases(self, api: Api) -> None:
        webhook_id = row_of(api)
        path = f"/v1/webhooks/{webhook_id}"

        answer = api.client.patch(
            path,
            json={"events": ["dataset.ready"], "description": "new"},
            headers={"If-Match": '"1"'},
        )

        changed = answer.json()
        assert (changed["events"], changed["description"]) == (["dataset.ready"], "new")
        assert (changed["revision"], answer.headers["ETag"]) == (2, '"2"')
        assert changed["url"] == UNUSED
        assert actions(api, webhook_id) == ["webhook.changed"]

    def test_a_change_of_an_older_revision_is_refused(self, api: Api) -> None:
        path = f"/v1/webhooks/{row_of(api, revision=3)}"

        answer = api.client.patch(path, json={}, headers={"If-Match": '"2"'})

        assert problem(answer) == (412, "precondition-failed")
        assert answer.json()["revision"] == 3

    def test_a_new_url_is_judged_too(self, api: Api) -> None:
        path = f"/v1/webhooks/{row_of(api)}"

        answer = api.client.patch(path, json={"url": "https://10.0.0.1/"})

        assert problem(answer) == (422, "url-not-allowed")

    def test_a_webhook_that_is_enabled_again_starts_without_its_failures(self, api: Api) -> None:
        webhook_id = row_of(api, failing_since=database_now(), state=WebhookState.DISABLED)

        answer = api.client.patch(f"/v1/webhooks/{webhook_id}", json={"state": "enabled"})

        changed = answer.json()
        assert (changed["state"], changed["disabled_reason"]) == ("enabled", None)
        assert changed["failing_since"] is None

    def test_a_disabled_webhook_says_who_disabled_it_and_sends_nothing(self, api: Api) -> None:
        webhook_id = row_of(api)
        delivery_id = a_delivery(api.database, webhook_id, state=DeliveryState.FAILED)
        path = f"/v1/webhooks/{webhook_id}"

        answer = api.client.patch(path, json={"state": "disabled"})

        assert answer.json()["disabled_reason"] == "by_member"
        asked = [f"{path}/test", f"{path}/deliveries/{delivery_id}/resend"]
        assert [problem(api.client.post(each)) for each in asked] == [(409, "webhook-disabled")] * 2

    def test_a_deleted_webhook_is_gone_with_its_deliveries(self, api: Api) -> None:
        webhook_id = row_of(api)
        a_delivery(api.database, webhook_id, state=DeliveryState.DELIVERED)
        path = f"/v1/webhooks/{webhook_id}"

        answer = api.client.delete(path)

        assert answer.status_code == 204
        assert problem(api.client.get(path)) == (404, "webhook-not-found")
        assert problem(api.client.get(f"{path}/deliveries")) == (404, "webhook-not-found")
        assert actions(api, webhook_id) == ["webhook.deleted"]


class TestRotation:
    def test_w6_a_rotated_secret_signs_beside_the_new_one_until_its_end(
        self, api: Api, receiver: Receiver
    ) -> None:
        made = created(api, receiver.url)
        path = f"/v1/webhooks/{made['id']}"

        rotated = api.client.post(f"{path}/rotate", json={"overlap_seconds": 60}).json()
        api.client.post(f"{path}/test")
        eventually(lambda: receiver.received, within=20)

        (message,) = receiver.received
        assert rotated["secret"] != made["secret"]
        assert rotated["previous_secret_ends_at"] is not None
        for secret in (rotated["secret"], made["secret"]):
            assert Verifier(secret).verify(message.body, dict(message.headers))

    def test_without_an_overlap_the_previous_secret_ends_at_once(self, api: Api) -> None:
        webhook_id = row_of(api)

        answer = api.client.post(f"/v1/webhooks/{webhook_id}/rotate", json={"overlap_seconds": 0})

        assert answer.json()["previous_secret_ends_at"] is None
        assert webhook_row(api.database, webhook_id).previous_secret is None


class TestSecrecy:
    def test_a_secret_is_in_no_list_no_delivery_and_no_audit_record(self, api: Api) -> None:
        made = created(api)
        path = f"/v1/webhooks/{made['id']}"
        rotated = api.client.post(f"{path}/rotate", json={}).json()

        with api.database.read() as unit:
            records = [record.details for record in unit.session.scalars(select(AuditRecord))]
        answers = [
            api.client.get(each).text for each in ("/v1/webhooks", path, f"{path}/deliveries")
        ]
        seen = json.dumps(records) + "".join(answers)

        assert made["secret"] not in seen
        assert rotated["secret"] not in seen
        assert "/hook" not in json.dumps(records)


class TestDeliveries:
    def test_a_test_event_is_sent_and_listed(self, api: Api, receiver: Receiver) -> None:
        made = created(api, receiver.url)
        path = f"/v1/webhooks/{made['id']}"

        answer = api.client.post(f"{path}/test")

        def listed() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = api.client.get(f"{path}/deliveries").json()["data"]
            return found

        eventually(lambda: listed()[0]["state"] == "delivered", within=20)
        (delivery,) = listed()
        (message,) = receiver.received
        assert (answer.status_code, answer.json()["id"]) == (202, delivery["id"])
        assert (delivery["type"], delivery["attempts"]) == ("webhook.test", 1)
        assert (delivery["last_status"], delivery["next_attempt_at"]) == (204, None)
        assert (message.id, json.loads(message.body)["type"]) == (delivery["id"], "webhook.test")
        assert actions(api, made["id"]) == ["webhook.created", "webhook.tested"]

    def test_an_event_of_a_job_is_sent(self, api: Api, receiver: Receiver) -> None:
        created(api, receiver.url, events=["job.submitted"])

        job = api.submit()

        eventually(lambda: receiver.received, within=20)
        message = json.loads(receiver.received[0].body)
        assert (message["type"], message["data"]["job"]["id"]) == ("job.submitted", job["id"])

    def test_a_delivery_is_sent_again_with_its_id(self, api: Api, receiver: Receiver) -> None:
        webhook_id = row_of(api, receiver.url)
        columns = {"state": DeliveryState.FAILED, "attempt": 9}
        delivery_id = a_delivery(api.database, webhook_id, **columns)
        path = f"/v1/webhooks/{webhook_id}/deliveries"

        answer = api.client.post(f"{path}/{delivery_id}/resend")

        eventually(
            lambda: api.client.get(path, params={"state": "delivered"}).json()["data"], within=20
        )
        (delivery,) = api.client.get(path).json()["data"]
        assert (answer.status_code, answer.json()["state"]) == (202, "pending")
        assert receiver.ids == [delivery_id]
        assert delivery["attempts"] == 1

    def test_an_unknown_delivery_is_not_found(self, api: Api) -> None:
        mine, other = row_of(api), row_of(api)
        delivery_id = a_delivery(api.database, other, state=DeliveryState.FAILED)

        answer = api.client.post(f"/v1/webhooks/{mine}/deliveries/{delivery_id}/resend")

        assert problem(answer) == (404, "delivery-not-found")

    def test_deliveries_are_listed_newest_first_by_state_and_page(self, api: Api) -> None:
        webhook_id = row_of(api, state=WebhookState.DISABLED)
        states = [DeliveryState.FAILED, DeliveryState.DELIVERED, DeliveryState.FAILED]
        ids = [a_delivery(api.database, webhook_id, state=state) for state in states]
        path = f"/v1/webhooks/{webhook_id}/deliveries"

        first = api.client.get(path, params={"limit": 2}).json()
        second = api.client.get(path, params={"limit": 2, "cursor": first["next"]}).json()
        failed = api.client.get(path, params={"state": "failed"}).json()

        assert [it["id"] for it in first["data"] + second["data"]] == ids[::-1]
        assert [it["id"] for it in failed["data"]] == [ids[2], ids[0]]

    def test_an_answer_of_the_receiver_is_shown(self, api: Api, receiver: Receiver) -> None:
        receiver.answer = answering(503, b"try later")
        webhook_id = row_of(api, receiver.url)
        path = f"/v1/webhooks/{webhook_id}"

        api.client.post(f"{path}/test")

        def first() -> dict[str, Any]:
            found: dict[str, Any] = api.client.get(f"{path}/deliveries").json()["data"][0]
            return found

        eventually(lambda: first()["last_status"], within=20)
        shown = first()
        assert (shown["last_status"], shown["last_error"]) == (503, "status")
        assert (shown["last_answer"], shown["state"]) == ("try later", "pending")
        assert shown["next_attempt_at"] is not None


class TestStatements:
    @pytest.mark.parametrize(
        ("method", "path", "body", "expected"),
        [
            ("GET", "", None, (1, 0)),
            ("GET", "/{hook}", None, (1, 0)),
            ("GET", "/{hook}/deliveries", None, (2, 0)),
            ("POST", "", {"url": UNUSED, "events": ["*"]}, (3, 2)),
            ("PATCH", "/{hook}", {"description": "new"}, (4, 2)),
            ("POST", "/{hook}/rotate", {}, (3, 2)),
            ("DELETE", "/{hook}", None, (1, 2)),
        ],
    )
    def test_the_number_of_statements_of_a_route_is_fixed(
        self,
        api: Api,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        expected: tuple[int, int],
    ) -> None:
        hook_id = row_of(api)
        for _ in range(3):
            a_delivery(api.database, hook_id, state=DeliveryState.DELIVERED)

        with sql_on(api.database) as asked:
            answer = api.client.request(
                method, f"/v1/webhooks{path.format(hook=hook_id)}", json=body
            )

        assert answer.status_code < 300, answer.text
        assert (asked.reads, asked.writes) == expected
