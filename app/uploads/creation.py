"""Create and remove uploads."""

from datetime import timedelta

from app.artifacts.repository import condemn
from app.core.context import Context
from app.quotas.repository import Consumer, Quota, check_room, check_within
from app.uploads.admission import admit, check_size, check_unfinished
from app.uploads.chunks import NamedUpload
from app.uploads.repository import NewUpload, delete_upload, insert_upload, lock_upload
from app.uploads.spool import UploadSpool
from app.uploads.tables import Upload


def begin_upload(context: Context, new: NewUpload) -> Upload:
    """Insert an upload, if there is room for it.

    Raises:
        UploadTooLarge: it is larger than `limits.dataset_archive_bytes`.
        TooManyUploads: the owner has too many unfinished uploads.
        NoRoom: a disk would keep less than its reserve.
        QuotaExceeded: a quota of the project or the owner leaves less.
    """
    check_size(context, new.size_bytes)
    spool = UploadSpool(context.settings.home)
    keep = timedelta(hours=context.settings.keep_upload_hours)
    with context.database.write() as unit:
        check_unfinished(unit.session, new.owner_id)
        upload = insert_upload(unit.session, new, spool_id=spool.id, keep=keep)
        admit(context, unit.session, new.size_bytes)
        consumer = Consumer(new.project_id, new.owner_id)
        check_within(unit.session, consumer, Quota.UPLOADED_BYTES)
        check_room(unit.session, consumer, Quota.STORED_BYTES, more=new.size_bytes)
        check_room(unit.session, consumer, Quota.VERIFIER_SECONDS)
    return upload


def remove_upload(context: Context, named: NamedUpload) -> None:
    """Delete an upload with its bytes, unless a dataset needs them. A running request ends.

    Raises:
        UploadNotFound: the caller has no upload with this id.
        UploadExpired: it has expired.
        InsufficientRole, ProjectArchived: the caller may not write in its project.
    """
    grace = timedelta(hours=context.settings.garbage.grace_hours)
    with context.database.write() as unit:
        upload = lock_upload(unit.session, named.owner_id, named.project_ids, named.upload_id)
        named.check_writable(upload)
        delete_upload(unit.session, upload)
        if upload.sha256 is not None:
            condemn(unit.session, [upload.sha256], grace=grace)
    UploadSpool(context.settings.home).remove(named.upload_id)
