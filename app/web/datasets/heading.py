"""The heading of each page of a dataset: its name, one version with its facts, and tabs."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Path, Response

from app.web.datasets import dataset_words
from app.web.pages import Page

VIEWER: Final = "viewer"
Reference = Annotated[str, Path(max_length=40)]
"""The id of a dataset, which shows its newest version, or of a version."""


@dataclass(frozen=True)
class Heading:
    """A dataset and the version that its pages show.

    Attributes:
        view: the version, as `GET /v1/datasets/{reference}` describes it.
        reference: the id in the address: of the dataset, or of the version.
        versions: the number of versions; the newest one has this number.
        jobs: the number of jobs on all versions.
        is_writable: whether the role of the user allows changes.
    """

    view: dict[str, Any]
    reference: str
    versions: int
    jobs: int
    is_writable: bool

    @property
    def is_newest(self) -> bool:
        """Whether the version is the newest one."""
        return bool(self.view["number"] == self.versions)

    @property
    def images(self) -> int | None:
        """The number of images in all splits; None until the version is verified."""
        images = self.view["images"]
        return None if images is None else sum(images.values())

    @property
    def path(self) -> str:
        """The path of the overview."""
        return f"/datasets/{self.reference}"


async def read_heading(page: Page, reference: str) -> Heading:
    """Read the heading of a page of a dataset.

    Raises:
        ApiProblem: the user has no such dataset.
    """
    view = await page.api.get(f"/v1/datasets/{reference}")
    named = {"project": view["project"], "name": view["name"], "limit": 1}
    listed = (await page.api.get("/v1/datasets", named))["data"]
    row = listed[0] if listed else {"versions": view["number"], "jobs": 0}
    return Heading(
        view=view,
        reference=reference,
        versions=row["versions"],
        jobs=row["jobs"],
        is_writable=page.me["projects"].get(view["project"]) != VIEWER,
    )


async def render_tab(
    page: Page,
    template: str,
    heading: Heading,
    *,
    status: int = 200,
    **values: Any,  # noqa: ANN401 -- whatever the template shows
) -> Response:
    """Return one of the pages of a dataset."""
    values |= {"head": heading, "d": heading.view, "say": dataset_words}
    return await page.render(template, status=status, **values)
