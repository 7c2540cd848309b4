"""Create, change, rotate, delete and test webhooks, and send their deliveries again.

Admins of a project manage its webhooks, and only they read them: a URL is often a secret itself.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.accounts.errors import InsufficientRole
from app.accounts.tables import MemberRole
from app.audit.record import record_change
from app.core.database import Database, database_now
from app.events.log import newest_sealed
from app.webhooks.bodies import TEST_EVENT, body_of
from app.webhooks.deliveries import insert_deliveries, new_delivery, send_again
from app.webhooks.destinations import SENTENCES, Destination, DestinationRules, UrlFault
from app.webhooks.errors import StaleWebhook, UrlNotAllowed, WebhookDisabled
from app.webhooks.repository import (
    ListedWebhook,
    insert_webhook,
    lock_visible_webhook,
    update_webhook,
    visible_delivery,
    visible_webhook,
)
from app.webhooks.requests import WebhookChange, WebhookRequest
from app.webhooks.signatures import new_secret
from app.webhooks.tables import DisabledReason, Webhook, WebhookDelivery, WebhookState

LOOKUP_SECONDS = 2.0
"""How long a request waits for the name servers; each send looks the host up again."""


@dataclass(frozen=True)
class WithSecret:
    """A webhook and its new secret, which is shown once."""

    listed: ListedWebhook
    secret: str


def administered_projects(principal: Principal, name: str | None = None) -> frozenset[str]:
    """Return the ids of the projects whose webhooks a caller reads, also of archived ones.

    Args:
        principal: the caller.
        name: of the one project that is asked for; None: all of the caller's.

    Raises:
        UnknownProject: the caller has no project with this name.
        InsufficientRole: the caller does not administer it.
    """
    if name is None:
        return frozenset(it.id for it in principal.projects if it.role is MemberRole.ADMIN)
    project_id = principal.project_id(name, pointer="query/project")
    _require_admin(principal, project_id)
    return frozenset({project_id})


def readable_webhook(session: Session, principal: Principal, webhook_id: str) -> ListedWebhook:
    """Return a webhook that the caller reads; also of an archived project.

    Raises:
        WebhookNotFound: the caller's projects have none with this id.
        InsufficientRole: the caller does not administer its project.
    """
    found = visible_webhook(session, principal.project_ids, webhook_id)
    _require_admin(principal, found.row.project_id)
    return found


def create_webhook(
    database: Database,
    principal: Principal,
    request: WebhookRequest,
    rules: DestinationRules,
    *,
    limit: int,
) -> WithSecret:
    """Create a webhook. It gets the events that happen from now on.

    Args:
        database: to write to.
        principal: the caller.
        request: the webhook.
        rules: judge its URL.
        limit: the number of webhooks that a project may have.

    Raises:
        UnknownProject, InsufficientRole, ProjectArchived: as `Principal.project_id`.
        UrlNotAllowed: webhooks may not be sent to this URL.
        TooManyWebhooks: the project has as many as the server allows.
    """
    project_id = principal.project_id(request.project, role=MemberRole.ADMIN)
    to = _checked(rules, request.url)
    secret = new_secret()
    with database.write() as unit:
        newest = newest_sealed(unit.session)
        values = {
            "project_id": project_id,
            "created_by": principal.user_id,
            "url": request.url,
            "events": [event.value for event in request.events],
            "description": request.description,
            "secret": secret,
            "state": WebhookState.ENABLED,
            "after_transaction": newest.transaction_id,
            "after_position": newest.position,
            "revision": 1,
            "created_at": database_now(),
        }
        row = insert_webhook(unit.session, values, limit=limit)
        _record(unit.session, principal, row, "created", host=to.host)
    return WithSecret(ListedWebhook(row, principal.user_name), secret)


def change_webhook(
    database: Database,
    principal: Principal,
    webhook_id: str,
    change: WebhookChange,
    rules: DestinationRules,
    *,
    revision: int | None,
) -> ListedWebhook:
    """Change a webhook; `revision` comes from `If-Match`.

    Raises:
        WebhookNotFound, InsufficientRole, ProjectArchived: the caller does not manage it.
        StaleWebhook: it was changed after that revision.
        UrlNotAllowed: webhooks may not be sent to the new URL.
    """
    with database.read() as unit:  # who may not change it does not make the server look up a host
        found = visible_webhook(unit.session, principal.project_ids, webhook_id)
        principal.require_role(found.row.project_id, MemberRole.ADMIN)
    if change.url is not None:
        _checked(rules, change.url)
    with database.write() as unit:
        row = lock_visible_webhook(unit.session, principal.project_ids, webhook_id)
        if revision is not None and revision != row.revision:
            raise StaleWebhook(row.revision)
        values = _changed_values(unit.session, row, change)
        if values:
            update_webhook(unit.session, row, values)
            fields = " ".join(sorted(change.model_fields_set))
            _record(unit.session, principal, row, "changed", fields=fields, state=row.state)
        return visible_webhook(unit.session, principal.project_ids, webhook_id)


def rotate_secret(
    database: Database, principal: Principal, webhook_id: str, *, overlap: timedelta
) -> WithSecret:
    """Replace the secret; for `overlap`, messages are signed with the previous one, too.

    Raises:
        WebhookNotFound, InsufficientRole, ProjectArchived: the caller does not manage it.
    """
    secret = new_secret()
    with database.write() as unit:
        row = _lock_managed(unit.session, principal, webhook_id)
        values = {
            "secret": secret,
            "previous_secret": row.secret if overlap else None,
            "previous_secret_ends_at": database_now(overlap) if overlap else None,
        }
        update_webhook(unit.session, row, values)
        seconds = int(overlap.total_seconds())
        _record(unit.session, principal, row, "secret_rotated", overlap_seconds=seconds)
        listed = visible_webhook(unit.session, principal.project_ids, webhook_id)
    return WithSecret(listed, secret)


def delete_webhook(database: Database, principal: Principal, webhook_id: str) -> None:
    """Delete a webhook with its deliveries.

    Raises:
        WebhookNotFound, InsufficientRole, ProjectArchived: the caller does not manage it.
    """
    with database.write() as unit:
        row = _lock_managed(unit.session, principal, webhook_id)
        _record(unit.session, principal, row, "deleted")
        unit.session.execute(delete(Webhook).where(Webhook.id == row.id))


def send_test(database: Database, principal: Principal, webhook_id: str) -> WebhookDelivery:
    """Add a delivery of a test event.

    Raises:
        WebhookNotFound, InsufficientRole, ProjectArchived: the caller does not manage it.
        WebhookDisabled: nothing is sent to it.
    """
    with database.write() as unit:
        row = _lock_managed(unit.session, principal, webhook_id)
        if row.state is WebhookState.DISABLED:
            raise WebhookDisabled
        now = unit.session.scalars(select(database_now())).one()
        body = body_of(TEST_EVENT, now, {"webhook": row.id})
        delivery = new_delivery(row.id, TEST_EVENT, body)
        insert_deliveries(unit.session, [delivery])
        _record(unit.session, principal, row, "tested")
        return visible_delivery(unit.session, row.id, str(delivery["id"]))


def resend_delivery(
    database: Database, principal: Principal, webhook_id: str, delivery_id: str
) -> WebhookDelivery:
    """Send a delivery again, with the same id and body, in whatever state it is.

    Raises:
        WebhookNotFound, InsufficientRole, ProjectArchived: the caller does not manage the webhook.
        DeliveryNotFound: it has no such delivery.
        WebhookDisabled: nothing is sent to it.
    """
    with database.write() as unit:
        row = _lock_managed(unit.session, principal, webhook_id)
        visible_delivery(unit.session, row.id, delivery_id)
        if row.state is WebhookState.DISABLED:
            raise WebhookDisabled
        send_again(unit.session, delivery_id)
        _record(unit.session, principal, row, "resent", delivery=delivery_id)
        return visible_delivery(unit.session, row.id, delivery_id)


def _require_admin(principal: Principal, project_id: str) -> None:
    """Refuse a caller who does not administer a project; `require_role` refuses archived ones."""
    if project_id not in administered_projects(principal):
        name = principal.project_names[project_id]
        raise InsufficientRole(MemberRole.ADMIN, project=name)


def _checked(rules: DestinationRules, url: str) -> Destination:
    """Return where a URL leads; refuse it if that is not allowed.

    A host that the name servers do not answer for in time is accepted: each send looks it up again.
    """
    to = rules.destination(url)
    if isinstance(to, UrlFault):
        raise UrlNotAllowed(to, SENTENCES[to])
    try:
        addresses = rules.addresses(to, within=LOOKUP_SECONDS)
    except TimeoutError:
        return to
    if isinstance(addresses, UrlFault):
        raise UrlNotAllowed(addresses, SENTENCES[addresses])
    return to


def _changed_values(session: Session, row: Webhook, change: WebhookChange) -> dict[str, object]:
    """Return the columns to change. Enabling begins with the events that happen from now on."""
    sent = change.model_dump(exclude_none=True, exclude={"state"}, mode="json")
    if change.state is None or change.state is row.state:
        return sent
    if change.state is WebhookState.DISABLED:
        return {**sent, "state": change.state, "disabled_reason": DisabledReason.BY_MEMBER}
    newest = newest_sealed(session)
    return {
        **sent,
        "state": change.state,
        "disabled_reason": None,
        "failing_since": None,
        "after_transaction": newest.transaction_id,
        "after_position": newest.position,
    }


def _lock_managed(session: Session, principal: Principal, webhook_id: str) -> Webhook:
    """Return a webhook that the caller manages; its row is locked."""
    row = lock_visible_webhook(session, principal.project_ids, webhook_id)
    principal.require_role(row.project_id, MemberRole.ADMIN)
    return row


def _record(
    session: Session, principal: Principal, row: Webhook, happened: str, **details: str | int
) -> None:
    record_change(
        session,
        principal.actor(),
        f"webhook.{happened}",
        target=row.id,
        project_id=row.project_id,
        details=details,
    )
