"""A new job: one form, the plan beside it, and the submission."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem, Content, path_below
from app.web.forms import Form, form_of
from app.web.jobs.spec_form import Spec, SpecForm, field_of, form_of_spec, sent_form, spec_of
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

MAIN_ARGUMENTS: Final = ("epochs", "imgsz", "batch", "patience", "optimizer", "lr0", "seed")
INVALID: Final = 422
DEFAULT_TASK: Final = "detect"
DEFAULT_MODELS: Final = {
    "detect": "yolo26n.yaml",
    "segment": "yolo26n-seg.yaml",
    "semantic": "yolo26n-sem.yaml",
    "depth": "yolo26n-depth.yaml",
    "classify": "yolo26n-cls.yaml",
    "pose": "yolo26n-pose.yaml",
    "obb": "yolo26n-obb.yaml",
}
"""What the form names for a dataset of a task, until someone names another model."""


@dataclass
class _Outcome:
    """What the form shows besides its fields.

    Attributes:
        problem: why the API refused the spec; None if it did not.
        errors: messages by field.
        plan: of the job; None if there is none.
        left_out: arguments of a pasted text that are not in the spec.
        spec: as it would be submitted.
    """

    problem: dict[str, Any] | None = None
    errors: dict[str, str] = field(default_factory=dict)
    plan: dict[str, Any] | None = None
    left_out: list[dict[str, str]] = field(default_factory=list)
    spec: Spec | None = None

    @property
    def status(self) -> int:
        """Of HTTP."""
        return int(self.problem["status"]) if self.problem else 200


@router.get("/jobs/new")
async def show_new_job(page: InPage) -> Response:
    """Show the form: empty, or filled from a job, a dataset or a model of the address."""
    query = page.query
    if query.get("clone"):
        job = await page.api.get(path_below("/v1/jobs", query["clone"]))
        form = form_of_spec(job["spec"])
    else:
        named = {name: query[name] for name in ("dataset", "model", "project") if name in query}
        form = form_of_spec({"model": DEFAULT_MODELS[DEFAULT_TASK]} | named)
        await _fit_model(page, form)
    outcome = _Outcome()
    if form.get("dataset"):
        await _plan(page, form, outcome)
        outcome.problem, outcome.errors = None, {}
    return await _form_page(page, form, outcome)


@router.post("/jobs/new")
async def send_new_job(page: InPage) -> Response:
    """Submit the job; or plan it, or fill the form from a pasted text."""
    sent = await form_of(page.request)
    form, outcome = sent_form(sent), _Outcome()
    action = sent.one("do")
    if action == "paste":
        form = await _pasted(page, sent, form, outcome)
        return await _form_page(page, form, outcome)
    if action in {"plan", "form"}:
        if action == "form":
            await _fit_model(page, form)
        await _plan(page, form, outcome)
        if page.is_fragment and action == "plan":
            return await page.render("jobs/new-plan.html", outcome=outcome, form=form)
        return await _form_page(page, form, outcome)
    spec = _spec_or_error(form, outcome)
    if spec is None:
        return await _form_page(page, form, outcome, key=sent.one("key"))
    try:
        headers = {"idempotency-key": sent.one("key") or uuid4().hex}
        answer = await page.api.answer("POST", "/v1/jobs", document=spec, headers=headers)
    except ApiProblem as refused:
        _note(refused, outcome)
        return await _form_page(page, form, outcome)
    return page.redirect(f"/jobs/{answer.data['id']}")


async def _fit_model(page: Page, form: SpecForm) -> None:
    """Name the model for the task of the chosen dataset, unless someone has named one."""
    if not form.get("dataset") or form.get("model") not in DEFAULT_MODELS.values():
        return
    with suppress(ApiProblem):  # the plan says what is wrong with the dataset
        dataset = await page.api.get(path_below("/v1/datasets", form.get("dataset")))
        form.values["model"] = DEFAULT_MODELS.get(dataset["task"], form.get("model"))


async def _plan(page: Page, form: SpecForm, outcome: _Outcome) -> None:
    spec = _spec_or_error(form, outcome)
    if spec is None:
        return
    try:
        outcome.plan = await page.api.send("POST", "/v1/jobs/validate", spec)
    except ApiProblem as refused:
        _note(refused, outcome)


def _spec_or_error(form: SpecForm, outcome: _Outcome) -> Spec | None:
    try:
        outcome.spec = spec_of(form)
    except (ValueError, RecursionError):
        message = "More fields must be one JSON object."
        outcome.errors["more"] = message
        outcome.problem = {"title": "The form has an error", "detail": message, "status": INVALID}
    return outcome.spec


def _note(refused: ApiProblem, outcome: _Outcome) -> None:
    outcome.problem = refused.problem
    for pointer, message in refused.fields.items():
        outcome.errors.setdefault(field_of(pointer), message)


async def _pasted(page: Page, sent: Form, form: SpecForm, outcome: _Outcome) -> SpecForm:
    """Return the fields of a pasted text, with the dataset that was chosen before."""
    text = sent.one("pasted")
    try:
        spec = json.loads(text) if text.startswith("{") else None
        if not isinstance(spec, dict):
            content = Content(text.encode(), "text/plain")
            parsed = (await page.api.answer("POST", "/v1/jobs/parse", content=content)).data
            spec, outcome.left_out = parsed["spec"], parsed["left_out"]
        filled = form_of_spec(spec)
    except ApiProblem as refused:
        outcome.problem = refused.problem
        return form
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        message = "The text is neither a job spec, nor an args.yaml, nor a yolo command."
        outcome.problem = {"title": "Nothing was filled in", "detail": message, "status": INVALID}
        return form
    for name in ("dataset", "model", "project"):
        filled.values.setdefault(name, form.get(name))
    return filled


async def _form_page(
    page: Page, form: SpecForm, outcome: _Outcome, *, key: str | None = None
) -> Response:
    datasets = (await page.api.get("/v1/datasets", {"state": "ready", "limit": 200}))["data"]
    chosen = next(
        (each for each in datasets if form.get("dataset") in {each["id"], each["version"]}), None
    )
    task = (chosen or {}).get("task") or DEFAULT_TASK
    schema = await page.api.get("/v1/schema/job", {"task": task})
    models = (await page.api.get("/v1/models", {"task": task}))["data"]
    return await page.render(
        "jobs/new.html",
        status=outcome.status,
        form=form,
        outcome=outcome,
        key=key or uuid4().hex,
        datasets=datasets,
        chosen=chosen,
        models=[model for model in models if model["state"] == "ready"],
        main=_fields_named(schema, MAIN_ARGUMENTS),
        schema=schema,
        projects=[name for name, role in page.me["projects"].items() if role != "viewer"],
        queues=[queue["name"] for queue in (await page.api.get("/v1/queues"))["data"]],
    )


def _fields_named(schema: dict[str, Any], names: tuple[str, ...]) -> list[dict[str, Any]]:
    known = {each["name"]: each for group in schema["groups"] for each in group["fields"]}
    return [known[name] for name in names if name in known]
