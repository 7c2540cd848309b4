"""The server application: routers, middleware, and the threads and connections of its lifespan."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager

import anyio.to_thread
from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from app.accounts.authentication import Authenticator
from app.accounts.browser.attempts import Attempts
from app.accounts.browser.session_keeper import SessionKeeper
from app.accounts.browser.setup import first_password, set_first_password
from app.accounts.http.key_routes import router as keys
from app.accounts.http.link_routes import router as sign_in_links
from app.accounts.http.login_routes import for_programs as program_logins
from app.accounts.http.login_routes import for_users as user_logins
from app.accounts.http.me_routes import router as me
from app.accounts.http.session_routes import closing as sign_out
from app.accounts.http.session_routes import opening as sign_in
from app.accounts.http.setup_routes import router as setup
from app.accounts.http.user_routes import router as users
from app.accounts.issue_key import ensure_first_key
from app.accounts.key_uses import KeyUses
from app.audit.keeper import AuditKeeper
from app.core.access_log import AccessLog
from app.core.broker import broker_url, redis_url
from app.core.context import Context
from app.core.database import Database
from app.core.edge import EdgeMiddleware
from app.core.pages import CursorSeal
from app.core.path_prefix import PathPrefixMiddleware
from app.core.problems import install_problem_handlers
from app.core.rate_limits import RateCounters
from app.core.secrets import read_or_make_secret
from app.core.storage import ArtifactStore
from app.core.wake_ups import WakeUps
from app.datasets.fact_reader import FactReader
from app.datasets.http.finding_routes import router as findings
from app.datasets.http.from_upload_routes import router as datasets_from_uploads
from app.datasets.http.listing_routes import router as dataset_listings
from app.datasets.http.overview_routes import router as dataset_overviews
from app.datasets.http.routes import router as datasets
from app.datasets.http.version_routes import router as dataset_versions
from app.datasets.verifier import Verifier
from app.events.held_back import HeldBackWatch
from app.events.log import PositionSeal
from app.events.restored import repair_restored_log
from app.events.routes import router as events
from app.fleet.routes import router as trainers
from app.jobs.http.bulk_routes import router as job_bulk
from app.jobs.http.control_routes import router as job_control
from app.jobs.http.queue_routes import router as job_queue
from app.jobs.http.quick_reads import QuickReads, QuickReadsMiddleware
from app.jobs.http.records.file_routes import router as job_files
from app.jobs.http.records.history_routes import router as job_history
from app.jobs.http.records.log_routes import router as job_logs
from app.jobs.http.records.metric_routes import router as job_metrics
from app.jobs.http.records.record_routes import router as job_records
from app.jobs.http.records.validation_routes import router as job_validation
from app.jobs.http.routes import router as jobs
from app.jobs.http.schema_routes import router as job_schema
from app.jobs.http.waits import JobWaits
from app.jobs.http.worker_routes import router as workers
from app.jobs.life.doorbell import Doorbell
from app.jobs.life.reconciler import Reconciler
from app.models.routes import router as models
from app.openapi_document import complete_document, document_route, operation_id
from app.ops.audit_routes import router as audit
from app.ops.collector import Collector
from app.ops.routes import router as operations
from app.ops.scrubber import Scrubber
from app.projects.routes import router as projects
from app.quotas.routes import router as quotas
from app.settings import Settings
from app.stream.room import open_streams
from app.stream.routes import router as event_streams
from app.uploads.routes import router as uploads
from app.uploads.tus_middleware import TusMiddleware
from app.version import VERSION
from app.web.api import ApiProblem
from app.web.html_errors import HtmlErrors, answer_api_problem
from app.web.routes import PAGES
from app.webhooks.routes import router as webhooks
from app.webhooks.sender import Sender

ROUTERS: tuple[APIRouter, ...] = (
    operations,
    sign_in,
    sign_out,
    sign_in_links,
    program_logins,
    user_logins,
    setup,
    me,
    job_schema,
    jobs,
    job_control,
    job_bulk,
    job_metrics,
    job_records,
    job_files,
    events,
    job_history,
    job_logs,
    job_validation,
    job_queue,
    datasets,
    findings,
    dataset_listings,
    dataset_overviews,
    dataset_versions,
    datasets_from_uploads,
    uploads,
    models,
    workers,
    trainers,
    audit,
    keys,
    users,
    projects,
    quotas,
    event_streams,
    webhooks,
)
NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
}
"""FastAPI's own telemetry is on by default and includes rejected input."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application. It opens and starts nothing before its lifespan begins."""
    app = _EdgeApp(
        title="Trainyard",
        version=VERSION,
        summary="Trains Ultralytics YOLO models.",
        lifespan=_lifespan(settings),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        strict_content_type=True,
        telemetry=NO_TELEMETRY,
        generate_unique_id_function=operation_id,
    )
    install_problem_handlers(app)
    app.add_exception_handler(ApiProblem, answer_api_problem)
    for router in (*ROUTERS, *PAGES):
        app.include_router(router)
    app.state.allowed_hosts = settings.allowed_hosts
    app.state.access_log = settings.record.access_log
    app.state.path_prefix = settings.path_prefix
    app.state.json_body_bytes = settings.limits.json_body_bytes
    app.add_route("/openapi.json", document_route(app), include_in_schema=False)
    app.state.routes = _routes(app)
    complete_document(app)
    return app


class _EdgeApp(FastAPI):
    """FastAPI inside our middleware, which must also see responses of its outermost layer.

    A middleware added with `add_middleware` would run inside Starlette's ServerErrorMiddleware.
    """

    def build_middleware_stack(self) -> ASGIApp:
        self.state.api = super().build_middleware_stack()
        inner = HtmlErrors(QuickReadsMiddleware(self.state.api))
        edge = EdgeMiddleware(inner, self.state.allowed_hosts)
        prefixed = PathPrefixMiddleware(TusMiddleware(edge), self.state.path_prefix)
        return AccessLog(prefixed, is_on=self.state.access_log)


def _routes(app: FastAPI) -> list[BaseRoute]:
    """Return every route; `app.routes` lacks those of included routers (FastAPI 0.165)."""
    return [*app.routes, *(route for router in (*ROUTERS, *PAGES) for route in router.routes)]


def _lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            _open(app, settings, stack)
            yield

    return lifespan


def _open(app: FastAPI, settings: Settings, stack: ExitStack) -> None:
    """Open what the server needs; the stack closes it in reverse order."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = settings.request_threads
    app.state.writing = anyio.CapacityLimiter(max(1, settings.request_threads * 3 // 4))
    database = Database(settings.effective_database_url, pool_size=settings.request_threads)
    stack.callback(database.dispose)
    wake_ups = stack.enter_context(WakeUps(redis_url(settings)))
    database.announce_to(wake_ups.publish)
    repair_restored_log(database)
    stack.enter_context(HeldBackWatch(database))
    store = ArtifactStore.from_settings(settings)
    ensure_first_key(database, settings.home)
    set_first_password(database, first_password(settings.admin_password_file))
    doorbell = stack.enter_context(Doorbell(broker_url(settings)))
    verifier = stack.enter_context(Verifier(database, store, settings))
    stack.enter_context(FactReader(database, store, settings))
    stack.enter_context(Reconciler(database, doorbell, settings.timing))
    stack.enter_context(Collector(database, store, settings))
    stack.enter_context(Scrubber(database, store, settings.scrub))
    stack.enter_context(AuditKeeper(database, keep=settings.record.audit_lifetime))
    app.state.sender = stack.enter_context(Sender(database, settings))
    _open_accounts(app, database, settings, stack)
    context = app.state.context = Context(
        settings=settings,
        database=database,
        store=store,
        cursors=CursorSeal(_secret(settings)),
        ring=doorbell.ring,
        wake_verifier=verifier.wake,
    )
    app.state.quick_reads = QuickReads(context, app.state.authenticator)
    draining, listen = context.draining, wake_ups.listener
    app.state.job_waits = stack.enter_context(JobWaits(database, listen(), draining))
    seal = PositionSeal(context.cursors)
    streams = open_streams(database, settings, seal, listen=listen, is_stopping=draining.is_set)
    app.state.streams = stack.enter_context(streams)


def _open_accounts(app: FastAPI, database: Database, settings: Settings, stack: ExitStack) -> None:
    idle = settings.accounts.session_idle
    keeper = stack.enter_context(SessionKeeper(database, idle=idle))
    attempts = Attempts(RateCounters(redis_url(settings)), settings.accounts)
    app.state.attempts = attempts
    uses = stack.enter_context(KeyUses(database))
    app.state.authenticator = Authenticator(database, attempts, uses, keeper, idle=idle)


def _secret(settings: Settings) -> bytes:
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    return read_or_make_secret(settings.home / "secret-key")
