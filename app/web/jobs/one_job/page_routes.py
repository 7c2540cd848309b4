"""The routes of all pages of one job."""

from typing import Final

from fastapi import APIRouter

from app.web.jobs.one_job.action_routes import router as actions
from app.web.jobs.one_job.edit_routes import router as edits
from app.web.jobs.one_job.event_routes import router as events
from app.web.jobs.one_job.file_routes import router as files
from app.web.jobs.one_job.log_routes import router as log
from app.web.jobs.one_job.overview_routes import router as overview
from app.web.jobs.one_job.plan_routes import router as plan
from app.web.jobs.one_job.spec_routes import router as spec

ONE_JOB: Final[tuple[APIRouter, ...]] = (overview, actions, edits, events, files, log, plan, spec)
