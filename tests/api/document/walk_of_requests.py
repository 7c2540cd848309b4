"""Requests to most operations, with the examples of the OpenAPI document as bodies."""

from dataclasses import dataclass
from typing import Any, Final

import httpx2 as httpx

from tests.api.document.openapi_walk import JSON, Operation, operations, resolved
from tests.worlds.server import Api

PARTIAL_CONTENT: Final = 206
TUS: Final = {"Tus-Resumable": "1.0.0"}
CHUNK: Final = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}


@dataclass(frozen=True)
class Answer:
    """A real answer, the operation that was asked, and whether an example was sent."""

    operation: Operation
    response: httpx.Response
    sent_example: bool

    @property
    def name(self) -> str:
        return f"{self.operation.name} {self.response.status_code}"

    @property
    def document(self) -> Any:  # noqa: ANN401 -- any JSON value
        """The JSON of the answer; None if it has no JSON, or a part of it only."""
        is_json = self.response.headers.get("content-type", "").endswith("json")
        is_whole = self.response.status_code != PARTIAL_CONTENT and self.response.content
        return self.response.json() if is_json and is_whole else None


class Walker:
    """Asks operations of a server and keeps the answers."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._operations = {each.id: each for each in operations()}
        self.answers: list[Answer] = []

    def ask(
        self,
        operation_id: str,
        *,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
        example: dict[str, Any] | None = None,
        query: str = "",
        **ids: object,
    ) -> Any:  # noqa: ANN401 -- any JSON value
        """Ask an operation; return the JSON of the answer.

        An operation with a JSON body gets its example, changed as `example` says.
        """
        operation = self._operations[operation_id]
        body = operation.request_bodies().get(JSON)
        document = None
        if body is not None:
            (shown,) = body.get("examples", {}).values() or [{"value": body.get("example")}]
            document = {**resolved(shown)["value"], **(example or {})}
        path = operation.path.format(**ids) + query
        response = self._api.client.request(
            operation.method.upper(), path, json=document, content=content, headers=headers
        )
        answer = Answer(operation, response, document is not None)
        self.answers.append(answer)
        return answer.document

    @property
    def tag(self) -> dict[str, str]:
        """The headers of a request that asks whether the last answer is still current."""
        return {"If-None-Match": self.answers[-1].response.headers["ETag"]}


def walk_through(api: Api) -> list[Answer]:
    """Ask most operations once, and return the answers."""
    walker = Walker(api)
    for walk in (
        _accounts,
        _logins,
        _webhooks,
        _jobs,
        _job_records,
        _datasets,
        _uploads,
        _refusals,
    ):
        walk(walker, api)
    return walker.answers


def _accounts(walker: Walker, _: Api) -> None:
    for name in (
        "read_liveness",
        "read_readiness",
        "read_version",
        "read_me",
        "list_audit_records",
    ):
        walker.ask(name)
    key = walker.ask("create_key")["id"]
    walker.ask("list_keys")
    walker.ask("read_key", key_id=key)
    newer = walker.ask("rotate_key", key_id=key)["id"]
    walker.ask("revoke_key", key_id=newer)
    walker.ask("revoke_known_key")
    user = walker.ask("create_user")["id"]
    walker.ask("list_users")
    walker.ask("read_user", reference=user)
    walker.ask("set_user_quotas", user_id=user)
    walker.ask("read_user_quotas", user_id=user)
    project = walker.ask("create_project")["id"]
    walker.ask("list_projects")
    walker.ask("read_project", reference=project)
    walker.ask("set_member", reference=project, user=user)
    walker.ask("read_member", reference=project, user=user)
    walker.ask("list_members", reference=project)
    walker.ask("remove_member", reference=project, user=user)
    walker.ask("set_project_quotas", project_id=project)
    walker.ask("read_project_quotas", project_id=project)
    walker.ask("change_project", reference=project)
    walker.ask("change_user", reference=user)


def _logins(walker: Walker, _: Api) -> None:
    login = walker.ask("create_login")
    walker.ask("read_login", user_code=login["user_code"])
    walker.ask("poll_login", example={"device_code": login["device_code"]})
    walker.ask("confirm_login", user_code=login["user_code"])
    walker.ask("refuse_login", user_code=login["user_code"])


def _webhooks(walker: Walker, _: Api) -> None:
    local = {"url": "http://127.0.0.1:1025/hook"}
    webhook = walker.ask("create_webhook", example=local)["id"]
    walker.ask("list_webhooks")
    walker.ask("read_webhook", webhook_id=webhook)
    walker.ask("change_webhook", webhook_id=webhook)
    walker.ask("rotate_webhook_secret", webhook_id=webhook)
    delivery = walker.ask("send_test_event", webhook_id=webhook)["id"]
    walker.ask("list_webhook_deliveries", webhook_id=webhook)
    walker.ask("resend_delivery", webhook_id=webhook, delivery_id=delivery)
    walker.ask("delete_webhook", webhook_id=webhook)


def _jobs(walker: Walker, api: Api) -> None:
    known = {"dataset": api.rows.dataset_id}
    once = {"Idempotency-Key": "a-walk"}
    walker.ask("read_job_schema")
    walker.ask("validate_job", example=known)
    job = walker.ask("submit_job", example=known, headers=once)["id"]
    walker.ask("submit_job", example=known, headers=once)
    walker.ask("list_jobs")
    walker.ask("list_jobs", query="?fields=progress&counts=true")
    walker.ask("change_job", job_id=job)
    walker.ask("pause_job", job_id=job)
    walker.ask("resume_job", job_id=job)
    walker.ask("clone_job", job_id=job)
    for name in ("list_queues", "list_queue", "list_workers", "list_trainers", "list_models"):
        walker.ask(name)
    walker.ask("read_waiting_reason", job_id=job)
    walker.ask("read_model", reference="yolo26n.yaml")
    walker.ask("act_on_jobs", example={"jobs": [job]})
    walker.ask("retry_job", job_id=job)
    walker.ask("cancel_job", job_id=job)
    walker.ask("delete_job", job_id=job)
    walker.ask("restore_job", job_id=job)
    text = {"Content-Type": "text/plain"}
    walker.ask("parse_job", content=b"yolo train model=yolo26n.pt epochs=3", headers=text)


def _job_records(walker: Walker, _: Api) -> None:
    job = walker.ask("list_jobs")["data"][0]["id"]
    walker.ask("read_job", job_id=job)
    walker.ask("read_job", job_id=job, headers=walker.tag)
    for name in ("read_plan", "list_class_weights", "list_attempts", "list_checkpoints"):
        walker.ask(name, job_id=job)
    walker.ask("list_job_events", job_id=job)
    walker.ask("read_system_metrics", job_id=job)
    walker.ask("read_metrics", job_id=job)
    walker.ask("read_metrics", job_id=job, headers=walker.tag)
    walker.ask("read_metrics", job_id=job, headers={"Accept": "text/csv"})
    walker.ask("read_metrics_of_jobs", query=f"?jobs={job}")
    walker.ask("list_artifacts", job_id=job)
    walker.ask("download_artifacts", job_id=job)
    walker.ask("download_artifacts", job_id=job, headers=walker.tag)
    walker.ask("download_artifacts_head", job_id=job)
    spec = {"job_id": job, "name": "spec.json"}
    walker.ask("download_artifact", **spec)
    walker.ask("download_artifact", **spec, headers=walker.tag)
    walker.ask("download_artifact", **spec, headers={"Range": "bytes=0-9"})
    walker.ask("download_artifact", **spec, headers={"Range": "bytes=99999-"})
    walker.ask("download_artifact_head", **spec)
    walker.ask("read_log", job_id=job)
    walker.ask("read_log", job_id=job, query="?tail=5")
    walker.ask("read_log", job_id=job, query="?q=epoch")
    position = walker.ask("poll_events")["next"]
    walker.ask("poll_events", query=f"?after={position}")


def _datasets(walker: Walker, api: Api) -> None:
    walker.ask("list_datasets", query="?counts=true")
    for name in ("read_dataset", "read_report", "list_dataset_versions", "list_findings"):
        walker.ask(name, reference=api.rows.dataset_id)
    for name in ("read_samples", "read_statistics", "list_duplicates", "list_classes"):
        walker.ask(name, reference=api.rows.dataset_id)
    archive = {"Content-Type": "application/octet-stream"}
    walker.ask("upload_dataset", query="?name=sent", content=b"PK", headers=archive)


def _uploads(walker: Walker, _: Api) -> None:
    walker.ask("read_tus_options")
    upload = walker.ask("create_upload", headers={**TUS, "Upload-Length": "3"})["id"]
    walker.ask("read_upload_head", upload_id=upload, headers=TUS)
    walker.ask("append_to_upload", upload_id=upload, content=b"abc", headers=CHUNK)
    walker.ask("append_to_upload", upload_id=upload, content=b"abc", headers=CHUNK)
    walker.ask("read_upload", upload_id=upload)
    walker.ask("create_dataset_from_upload", example={"upload": upload})
    walker.ask("list_uploads")
    walker.ask("delete_upload", upload_id=upload, headers=TUS)


def _refusals(walker: Walker, _: Api) -> None:
    walker.ask("read_job", job_id="job_0")
    walker.ask("read_dataset", reference="ds_0")
    walker.ask("read_upload", upload_id="upl_0")
    walker.ask("read_webhook", webhook_id="whk_0")
    walker.ask("read_model", reference="none.pt")
    walker.ask("list_jobs", headers={"Authorization": "Bearer none"})
    walker.ask("list_jobs", headers={"Accept": "text/csv"})
    walker.ask("list_jobs", query="?sort=size")
