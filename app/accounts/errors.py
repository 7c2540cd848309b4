"""Errors of credentials, their scopes and projects."""

from app.core.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed


class InsufficientScope(Forbidden):
    """The key is valid but does not have the required scope."""

    slug, title = "insufficient-scope", "The key lacks a scope"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"This request requires a key with the scope {scope}.", extra={"scope": scope}
        )


class InsufficientRole(Forbidden):
    """The caller's role does not allow this."""

    slug, title = "insufficient-role", "The role does not allow this"

    def __init__(self, role: str, *, project: str | None = None) -> None:
        where = "on this instance" if project is None else f"in the project {project}"
        super().__init__(f"This request requires the role {role} {where}.", extra={"role": role})


class UnknownProject(Invalid):
    """The caller has no project with this name."""

    slug, title = "unknown-project", "Unknown project"


class ProjectArchived(Conflict):
    """The project is archived: it can be read, but not changed."""

    slug, title = "project-archived", "The project is archived"

    def __init__(self, project: str) -> None:
        super().__init__(
            f"The project {project} is archived. An administrator can put it into use again."
        )


class KeyNotFound(NotFound):
    """The caller sees no such key."""

    slug, title = "key-not-found", "No such key"

    def __init__(self) -> None:
        super().__init__("There is no key with this id that you may see.")


class NotYourKey(Forbidden):
    """Only the owner of a key may get a new one for it."""

    slug, title = "not-your-key", "The key belongs to another user"

    def __init__(self) -> None:
        super().__init__("Only its owner can rotate a key. You can revoke it.")


class KeyEnded(Conflict):
    """The key is revoked or has expired."""

    slug, title = "key-ended", "The key has ended"

    def __init__(self) -> None:
        super().__init__("The key is revoked or has expired; create a new one.")


class KeyReplaced(Conflict):
    """The key has been rotated already."""

    slug, title = "key-replaced", "The key is replaced already"

    def __init__(self, successor: str) -> None:
        super().__init__(
            f"The key {successor} replaces this key; rotate that one.", extra={"key": successor}
        )


class NameTaken(Conflict):
    """Another user or project has this name."""

    slug, title = "name-taken", "The name is taken"

    def __init__(self, kind: str) -> None:
        super().__init__(f"Another {kind} has this name; choose a different one.")


class UserNotFound(NotFound):
    """There is no such user."""

    slug, title = "user-not-found", "No such user"

    def __init__(self) -> None:
        super().__init__("There is no user with this id or name.")


class LastAdministrator(Conflict):
    """Without this user, the instance would have no administrator."""

    slug, title = "last-administrator", "The last administrator"

    def __init__(self) -> None:
        super().__init__(
            "This user is the only administrator who is not disabled. Make another one first."
        )


class ProjectNotFound(NotFound):
    """The caller sees no such project."""

    slug, title = "project-not-found", "No such project"

    def __init__(self) -> None:
        super().__init__("There is no project with this id or name that you may see.")


class MemberNotFound(NotFound):
    """The user is no member of the project."""

    slug, title = "member-not-found", "No such member"

    def __init__(self) -> None:
        super().__init__("This user is no member of the project.")


class LastProjectAdmin(Conflict):
    """Without this member, the project would have no admin."""

    slug, title = "last-project-admin", "The last admin of the project"

    def __init__(self) -> None:
        super().__init__(
            "This member is the only admin of the project. Make another one first, or ask an "
            "administrator of the instance."
        )


class ChangedMeanwhile(PreconditionFailed):
    """It is not as it was when the caller read it."""

    def __init__(self) -> None:
        super().__init__("It was changed in the meantime; read it again and send its new ETag.")
