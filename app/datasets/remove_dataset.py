"""Remove a dataset with all its versions."""

from app.accounts.authentication import Principal
from app.audit.record import record_change
from app.core.context import Context
from app.datasets.repository import delete_dataset, lock_visible_dataset


def remove_dataset(context: Context, principal: Principal, dataset_id: str) -> None:
    """Delete a dataset; the caller owns it, or is an admin of its project.

    Raises:
        DatasetNotFound: the caller's projects have no dataset with this id.
        InsufficientRole, ProjectArchived: the caller may not delete it.
        DatasetInUse: a job refers to one of its versions.
    """
    with context.database.write() as unit:
        dataset = lock_visible_dataset(unit.session, principal.project_ids, dataset_id)
        principal.require_owner_or_admin(dataset.project_id, dataset.owner_id)
        record_change(
            unit.session,
            principal.actor(),
            "dataset.deleted",
            target=dataset.id,
            project_id=dataset.project_id,
            details={"name": dataset.name},
        )
        delete_dataset(unit.session, dataset.id)
