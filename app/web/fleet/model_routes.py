"""Models: architectures and weights that a training can start from."""

from typing import Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

MODELS: Final = "/models"
KEPT_IN_URL: Final = ("kind", "task", "cursor")
TASKS: Final = ("detect", "segment", "semantic", "depth", "classify", "pose", "obb")


@router.get("/models")
async def show_models(page: InPage) -> Response:
    """Show the weights and the architectures."""
    return await _models_page(page)


@router.post("/models/{model_id}/delete")
async def delete_model(page: InPage, model_id: str) -> Response:
    """Delete weights of a project."""
    try:
        await page.api.send("DELETE", f"/v1/models/{model_id}")
    except ApiProblem as refused:
        return await _models_page(page, refused)
    return page.redirect(MODELS)


async def _models_page(page: Page, refused: ApiProblem | None = None) -> Response:
    query = {name: page.query[name] for name in KEPT_IN_URL if page.query.get(name)}
    listed = await page.api.get("/v1/models", query)
    weights = [model for model in listed["data"] if model["kind"] == "weights"]
    architectures = [model for model in listed["data"] if model["kind"] == "architecture"]
    groups = (("Weights", weights), ("Architectures", architectures))
    return await page.render(
        "fleet/models.html",
        status=refused.status if refused else 200,
        refused=refused.problem if refused else None,
        listed=listed,
        groups=[(title, models) for title, models in groups if models],
        query={name: value for name, value in query.items() if name != "cursor"},
        tasks=TASKS,
    )
