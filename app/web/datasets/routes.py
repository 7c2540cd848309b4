"""All routes of the pages of datasets."""

from typing import Final

from fastapi import APIRouter

from app.web.datasets.change_routes import router as changes
from app.web.datasets.findings_routes import router as findings
from app.web.datasets.list_routes import router as listed
from app.web.datasets.overview_routes import router as overview
from app.web.datasets.samples_routes import router as samples
from app.web.datasets.statistics_routes import router as statistics
from app.web.datasets.upload_routes import router as upload
from app.web.datasets.versions_routes import router as versions

DATASETS: Final[tuple[APIRouter, ...]] = (
    listed,
    upload,  # before the overview, which takes `new` for an id
    overview,
    samples,
    statistics,
    findings,
    versions,
    changes,
)
