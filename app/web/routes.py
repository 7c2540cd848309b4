"""All routes of the pages."""

from typing import Final

from fastapi import APIRouter

from app.web.access.audit_routes import router as audit
from app.web.access.key_routes import router as keys
from app.web.access.project_routes import router as projects
from app.web.access.user_routes import router as users
from app.web.access.webhook_routes import router as webhooks
from app.web.datasets.routes import DATASETS
from app.web.entry.account_routes import router as account
from app.web.entry.demo_routes import router as demo
from app.web.entry.login_routes import router as logins
from app.web.entry.routes import for_strangers, for_users
from app.web.entry.setup_routes import router as setup
from app.web.fleet.model_routes import router as models
from app.web.fleet.worker_routes import router as workers
from app.web.jobs.bulk_routes import router as job_bulk
from app.web.jobs.compare_routes import router as compare
from app.web.jobs.list_routes import router as jobs
from app.web.jobs.new_job_routes import router as new_job
from app.web.jobs.one_job.page_routes import ONE_JOB
from app.web.static_files import router as static_files

PAGES: Final[tuple[APIRouter, ...]] = (
    static_files,
    for_strangers,
    for_users,
    setup,
    account,
    logins,
    demo,
    new_job,
    compare,
    jobs,
    job_bulk,
    *DATASETS,
    workers,
    models,
    keys,
    users,
    projects,
    webhooks,
    audit,
    *ONE_JOB,  # last, since the overview of a job takes any name at /jobs/…
)
