"""Entity tags of rows without a revision: a hash of what can be changed."""

import hashlib
import json

from app.accounts.errors import ChangedMeanwhile
from app.accounts.tables import Project, User

TAG_DIGITS = 16


def tag_of_user(user: User) -> str:
    """Return the entity tag of a user."""
    return _tag(user.id, user.name, user.is_admin, user.disabled_at is not None)


def tag_of_project(project: Project) -> str:
    """Return the entity tag of a project."""
    return _tag(project.id, project.name, project.archived_at is not None)


def check_tag(tag: str, if_match: str | None) -> None:
    """Refuse a change of something that is not as the caller read it.

    Raises:
        ChangedMeanwhile: `If-Match` was sent and does not contain the tag.
    """
    if if_match is None or if_match.strip() == "*":
        return
    if tag not in {each.strip() for each in if_match.split(",")}:
        raise ChangedMeanwhile


def _tag(*values: object) -> str:
    digest = hashlib.sha256(json.dumps(values).encode()).hexdigest()
    return f'"{digest[:TAG_DIGITS]}"'
