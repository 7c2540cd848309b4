"""Workers and the queue: which slot runs what, and which job starts next."""

from itertools import groupby
from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem, path_below
from app.web.forms import form_of
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

WORKERS: Final = "/workers"
SLOT_ACTIONS: Final = frozenset({"drain", "cordon", "uncordon"})
RAISED_BY: Final = 1


@router.get("/workers")
async def show_workers(page: InPage) -> Response:
    """Show all slots by machine, and the waiting jobs of one queue or of all."""
    return await _workers_page(page)


@router.post("/workers/{worker_id}/{action}")
async def control_slot(page: InPage, worker_id: str, action: str) -> Response:
    """Drain, cordon or uncordon a slot."""
    if action not in SLOT_ACTIONS:
        return await _workers_page(page)
    try:
        await page.api.send("POST", f"/v1/workers/{worker_id}/{action}")
    except ApiProblem as refused:
        return await _workers_page(page, refused)
    return page.redirect(WORKERS)


@router.post("/queue/raise")
async def raise_priority(page: InPage) -> Response:
    """Raise the priority of a waiting job by one."""
    form = await form_of(page.request)
    try:
        path = path_below("/v1/jobs", form.one("job"))
        job = await page.api.get(path)
        await page.api.answer(
            "PATCH",
            path,
            document={"priority": job["priority"] + RAISED_BY},
            headers={"if-match": f'"{job["revision"]}"'},
        )
    except ApiProblem as refused:
        return await _workers_page(page, refused)
    return page.redirect(WORKERS, {"queue": form.one("queue")})


async def _workers_page(page: Page, refused: ApiProblem | None = None) -> Response:
    slots = (await page.api.get("/v1/workers"))["data"]
    queues = (await page.api.get("/v1/queues"))["data"]
    names = [queue["name"] for queue in queues]
    chosen = page.query.get("queue") or (names[0] if names else "default")
    waiting = await page.api.get("/v1/queue", {"queue": chosen})
    return await page.render(
        "fleet/workers.html",
        status=refused.status if refused else 200,
        refused=refused.problem if refused else None,
        nodes=_by_node(slots),
        live=sum(slot["state"] == "live" for slot in slots),
        busy=sum(slot["busy"] for slot in slots),
        queues=queues,
        chosen=chosen,
        waiting=waiting,
    )


def _by_node(slots: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return the slots by machine, both in the order of their names."""
    ordered = sorted(slots, key=lambda slot: (slot["node"], slot["name"]))
    return [(node, list(found)) for node, found in groupby(ordered, lambda slot: slot["node"])]
