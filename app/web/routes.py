"""All routes of the pages."""

from typing import Final

from fastapi import APIRouter

from app.web.entry.routes import for_strangers, for_users
from app.web.jobs.list_routes import router as jobs
from app.web.static_files import router as static_files

PAGES: Final[tuple[APIRouter, ...]] = (
    static_files,
    for_strangers,
    for_users,
    jobs,
)
