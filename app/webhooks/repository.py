"""Queries of webhooks and their deliveries, scoped by project."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from app.accounts.tables import Project, User
from app.core.ids import new_id
from app.webhooks.errors import DeliveryNotFound, TooManyWebhooks, WebhookNotFound
from app.webhooks.tables import DeliveryState, Webhook, WebhookDelivery


@dataclass(frozen=True)
class ListedWebhook:
    """A webhook, and the name of the user who created it."""

    row: Webhook
    created_by: str | None


def visible_webhook(
    session: Session, project_ids: Collection[str], webhook_id: str
) -> ListedWebhook:
    """Return a webhook of these projects.

    Raises:
        WebhookNotFound: they have none with this id.
    """
    found = session.execute(_listed(project_ids).where(Webhook.id == webhook_id)).one_or_none()
    if found is None:
        raise WebhookNotFound
    return ListedWebhook(*found)


def lock_visible_webhook(
    session: Session, project_ids: Collection[str], webhook_id: str
) -> Webhook:
    """Return a webhook of these projects; its row is locked.

    Raises:
        WebhookNotFound: they have none with this id.
    """
    statement = select(Webhook).where(Webhook.project_id.in_(project_ids), Webhook.id == webhook_id)
    found = session.scalars(statement.with_for_update()).one_or_none()
    if found is None:
        raise WebhookNotFound
    return found


def webhook_page(
    session: Session, project_ids: Collection[str], *, after: str | None, limit: int
) -> Sequence[ListedWebhook]:
    """Return up to `limit` webhooks of these projects, newest first, after an id."""
    statement = _listed(project_ids).order_by(Webhook.id.desc()).limit(limit)
    if after is not None:
        statement = statement.where(Webhook.id < after)
    return [ListedWebhook(*found) for found in session.execute(statement)]


def insert_webhook(session: Session, values: Mapping[str, object], *, limit: int) -> Webhook:
    """Insert a webhook; `values` lack its id. Two inserts for one project wait for each other.

    Raises:
        TooManyWebhooks: the project has `limit` webhooks already.
    """
    project_id = str(values["project_id"])
    session.execute(select(Project.id).where(Project.id == project_id).with_for_update())
    count = select(func.count()).where(Webhook.project_id == project_id)
    if session.scalars(count).one() >= limit:
        raise TooManyWebhooks(limit)
    row = Webhook(id=new_id("whk"), **values)
    session.add(row)
    session.flush()
    session.refresh(row)
    return row


def update_webhook(session: Session, row: Webhook, values: Mapping[str, object]) -> None:
    """Change a locked webhook, and increment its revision."""
    changed = {**values, "revision": Webhook.revision + 1}
    session.execute(update(Webhook).where(Webhook.id == row.id).values(changed))
    session.refresh(row)


def delivery_page(
    session: Session,
    webhook_id: str,
    state: DeliveryState | None,
    *,
    after: str | None,
    limit: int,
) -> Sequence[WebhookDelivery]:
    """Return up to `limit` deliveries of a webhook, newest first, after an id."""
    statement = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    if state is not None:
        statement = statement.where(WebhookDelivery.state == state)
    if after is not None:
        statement = statement.where(WebhookDelivery.id < after)
    return session.scalars(statement.order_by(WebhookDelivery.id.desc()).limit(limit)).all()


def visible_delivery(session: Session, webhook_id: str, delivery_id: str) -> WebhookDelivery:
    """Return a delivery of a webhook, as it is in the database now.

    Raises:
        DeliveryNotFound: the webhook has none with this id.
    """
    statement = select(WebhookDelivery).where(
        WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.id == delivery_id
    )
    fresh = statement.execution_options(populate_existing=True)
    found = session.scalars(fresh).one_or_none()
    if found is None:
        raise DeliveryNotFound
    return found


def _listed(project_ids: Collection[str]) -> Select[Webhook, str | None]:
    return (
        select(Webhook, User.name)
        .outerjoin(User, User.id == Webhook.created_by)
        .where(Webhook.project_id.in_(project_ids))
    )
