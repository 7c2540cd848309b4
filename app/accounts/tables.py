"""Users, projects, memberships, API keys, sessions, and the ways to get in."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String, true
from sqlalchemy.orm import Mapped, mapped_column

from app.core.columns import checked_enum
from app.core.database import Base, Json, UtcDateTime


class KeyKind(StrEnum):
    """The kind of caller that a key is for."""

    USER = "user"
    WORKER = "worker"
    SERVICE = "service"


class MemberRole(StrEnum):
    """The role of a member in a project.

    A viewer reads. A member also submits, uploads and controls. An admin also manages members and
    keys of the project, and deletes.
    """

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"

    def includes(self, other: "MemberRole") -> bool:
        """Return whether this role may do all that `other` may do."""
        order = list(MemberRole)
        return order.index(self) >= order.index(other)


class Theme(StrEnum):
    """The colours of the pages."""

    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


class User(Base):
    """A person."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(400), doc="argon2id; null: keys only")
    is_admin: Mapped[bool] = mapped_column(doc="an administrator of the instance")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    theme: Mapped[Theme] = mapped_column(checked_enum(Theme, "theme"), server_default="auto")
    single_key_shortcuts: Mapped[bool] = mapped_column(server_default=true())


class Project(Base):
    """The owner of jobs, datasets and models; every query is limited to the caller's projects."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="null: in use")


class Membership(Base):
    """A user's role in a project."""

    __tablename__ = "memberships"

    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    project_id: Mapped[str] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[MemberRole] = mapped_column(checked_enum(MemberRole, "role"))


class ApiKey(Base):
    """A bearer credential; only a hash of it is stored.

    Keys of releases before 0.2 have the hash of their secret alone; later ones that of their whole
    text, so that no part of it can be exchanged.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint("(secret_sha256 IS NULL) != (key_sha256 IS NULL)", name="one_hash"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    kind: Mapped[KeyKind] = mapped_column(checked_enum(KeyKind, "kind"))
    public_id: Mapped[str] = mapped_column(String(12), unique=True, doc="the part shown in lists")
    secret_sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    key_sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    project_id: Mapped[str | None] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), index=True, doc="null: all of its user's"
    )
    replaces_id: Mapped[str | None] = mapped_column(String(40), doc="the key that was rotated")
    label: Mapped[str] = mapped_column(String(200))
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="null: never")
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, doc="rounded to the minute")
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class BrowserSession(Base):
    """A signed-in browser; only the hash of its token is stored."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token_sha256: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    address: Mapped[str | None] = mapped_column(String(60), doc="of the client at sign-in")
    user_agent: Mapped[str | None] = mapped_column(String(200), doc="of the client at sign-in")


class LinkPurpose(StrEnum):
    """What a one-time link does: it makes the first administrator, or signs in as them."""

    SET_UP = "set_up"
    SIGN_IN = "sign_in"


class SetupLink(Base):
    """A one-time link for the first administrator; only the hash of its token is stored."""

    __tablename__ = "setup_links"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    token_sha256: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    purpose: Mapped[LinkPurpose] = mapped_column(
        checked_enum(LinkPurpose, "link_purpose"), server_default="set_up"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class LoginState(StrEnum):
    """Where the login of a program is."""

    WAITING = "waiting"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    USED = "used"


class Login(Base):
    """A program that asks for a key; only hashes of its secret and of its short code are stored."""

    __tablename__ = "logins"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    device_sha256: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    code_sha256: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    host: Mapped[str] = mapped_column(String(200), doc="name of the machine, as the program says")
    address: Mapped[str | None] = mapped_column(String(60), doc="of the program")
    scopes: Mapped[list[str]] = mapped_column(Json, doc="of the key")
    key_seconds: Mapped[int] = mapped_column(doc="how long the key is valid")
    state: Mapped[LoginState] = mapped_column(checked_enum(LoginState, "login_state"))
    user_id: Mapped[str | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True, doc="who confirmed or refused it"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
