"""`/v1/datasets/{reference}/findings`: what a verification found, each with its remedy."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import Context, InContext
from app.core.pages import Cursor, Page, PageSize
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.datasets.errors import DatasetNotFound
from app.datasets.http.parameters import DatasetReference
from app.datasets.http.views import finding_views
from app.datasets.remedies.pages import FindingFilter, ListedFinding, of_file, of_report
from app.datasets.remedies.requests import FindingView
from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.report import Report
from app.datasets.repository import ListedDataset, visible_dataset

Reader = Annotated[Principal, Depends(needs("datasets:read"))]
PAGE_KIND: Final = "findings"

router = APIRouter(
    prefix="/v1/datasets",
    tags=["datasets"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)


class FindingListQuery(BaseModel):
    """Filters and page of the findings of one version."""

    version: str | None = Field(
        default=None, max_length=40, description="Id of a version (dsv_…). Default: the newest."
    )
    severity: Severity | None = Field(default=None, description="Findings of this severity only.")
    code: Code | None = Field(default=None, description="Findings of this code only.")
    limit: PageSize = 50
    cursor: Cursor = None

    def kind(self, reference: str) -> str:
        """Return what a cursor of this list belongs to."""
        return f"{PAGE_KIND}:{reference}:{self.version}:{self.severity}:{self.code}"


@router.get("/{reference}/findings", responses=responses_for(404))
def list_findings(
    reference: DatasetReference,
    context: InContext,
    principal: Reader,
    query: Annotated[FindingListQuery, Query()],
) -> Page[FindingView]:
    """List the findings of a version by severity and code, each with what fixes it.

    Pages that follow the first are of the same version. A version that waits for its verification
    has none.
    """
    kind = query.kind(reference)
    named, start = query.version or reference, 0
    if query.cursor is not None:
        of_version, position = context.cursors.open(kind, query.cursor)
        named, start = str(of_version), int(position or 0)
    with context.database.read() as unit:
        listed = visible_dataset(unit.session, principal.project_ids, named)
    if reference not in {listed.dataset.id, listed.version.id}:
        raise DatasetNotFound
    views = finding_views(listed)
    return Page.of(
        _found(context, listed, query, start),
        query.limit,
        seal=lambda found: context.cursors.seal(kind, [listed.version.id, found.after]),
        view=lambda found: views.view(found.finding),
    )


def _found(
    context: Context, listed: ListedDataset, query: FindingListQuery, start: int
) -> list[ListedFinding]:
    version, filters = listed.version, FindingFilter(query.severity, query.code)
    limit = query.limit + 1
    if version.findings_sha256 is not None:
        return of_file(context.store, version.findings_sha256, filters, start=start, limit=limit)
    if version.report is None:
        return []
    findings = Report.model_validate(version.report).findings
    return of_report(findings, filters, start=start, limit=limit)
