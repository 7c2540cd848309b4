"""Settings of server and worker: `TRAINYARD_*` environment variables over one TOML file.

Everything is validated at start; a wrong value ends the process with exit code 78 and its name.
"""

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

Seconds = Annotated[float, Field(gt=0, le=86_400)]

MIB = 1024 * 1024


class Timing(BaseModel):
    """Every interval that leases depend on, in seconds, in one value.

    A lease is judged by the database's clock alone; a worker measures its own silence with the
    monotonic clock and leaves `self_fence_seconds` after its last renewal, before others may claim.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lease_seconds: Seconds = Field(90.0, description="How long a claim holds without a renewal.")
    heartbeat_seconds: Seconds = Field(
        10.0, description="Between two renewals of a lease, and two signs of life of a slot."
    )
    self_fence_seconds: Seconds = Field(
        75.0, description="Without a renewal for so long a worker kills its trainer."
    )
    request_poll_seconds: Seconds = Field(
        0.5, description="Between two looks of a supervisor at what is requested."
    )
    reconcile_seconds: Seconds = Field(
        2.0, description="Between two looks of a server at jobs that nobody looks after."
    )
    doorbell_retry_seconds: Seconds = Field(
        10.0, description="Until a job that nobody claimed is rung for again; doubles."
    )
    doorbell_retry_max_seconds: Seconds = Field(600.0, description="What that doubling ends at.")
    restart_backoff_seconds: Seconds = Field(
        5.0, description="Until an interrupted job may be claimed again; doubles."
    )
    kill_grace_seconds: Seconds = Field(
        1.0, description="Between asking a trainer to leave and killing it."
    )
    worker_silent_seconds: Seconds = Field(
        60.0, description="Without a sign of life for so long a slot counts as gone."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.lease_seconds > self.self_fence_seconds > 3 * self.heartbeat_seconds:
            message = "needs lease_seconds > self_fence_seconds > 3 x heartbeat_seconds"
            raise ValueError(message)
        return self


class Limits(BaseModel):
    """Upper bounds of what one request may bring."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    json_body_bytes: int = Field(MIB, ge=1024, description="Largest JSON body.")
    dataset_archive_bytes: int = Field(
        64 * 1024 * MIB, ge=MIB, description="Largest archive of a data set."
    )


class GarbageSettings(BaseModel):
    """When what nothing needs any more is removed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grace_hours: float = Field(
        24.0, ge=0, description="Until bytes that no row names are removed; longer than a backup."
    )
    period_seconds: Seconds = Field(
        60.0, description="Between two looks of a server at what can be removed."
    )


class WorkerSettings(BaseModel):
    """What a worker may use of its machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_limit_bytes: int | None = Field(
        None, ge=MIB, description="Address space of a trainer on a CPU slot; default: no limit."
    )
    dataset_cache_bytes: int = Field(
        100 * 1024 * MIB, ge=0, description="Extracted data sets to keep on the worker's disk."
    )
    log_bytes: int = Field(
        64 * MIB, ge=MIB, description="Log to keep of one attempt; what comes after is cut."
    )


class Settings(BaseSettings):
    """What an operator can set; `home` holds everything that has no URL of its own."""

    model_config = SettingsConfigDict(
        env_prefix="TRAINYARD_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Field(Path("~/.trainyard"), description="Directory of the instance.")
    database_url: str | None = Field(
        None, repr=False, description="SQLAlchemy URL; default: SQLite in the home directory."
    )
    insecure_broker: bool = Field(
        default=False, description="Allow a broker of another machine that asks for no password."
    )
    broker_url: SecretStr | None = Field(
        None, description="Redis URL of the doorbells; default: an embedded Valkey."
    )
    store_url: str | None = Field(
        None,
        repr=False,
        description="Where bytes are kept (s3://, gs://, az:// or file://); default: home.",
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Seals page cursors; the same on every server of an instance. "
        "Default: made once, in the home directory.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65_535, description="Port to listen on; 0: a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names that requests may name, besides the loopback ones."
    )
    behind_proxy: bool = Field(
        default=False,
        description="A TLS-ending proxy stands in front; allows another bind than loopback.",
    )
    insecure_http: bool = Field(
        default=False, description="Allow plain HTTP on another address than loopback."
    )
    trash_days: float = Field(
        7, ge=0, le=36_500, description="For so long a deleted job can be restored."
    )
    state_every: int | None = Field(
        None,
        ge=1,
        description="Epochs between two training states; default: as often as costs little.",
    )
    keep_state_days: float = Field(
        14, ge=0, le=36_500, description="For so long an ended job keeps its training state."
    )
    request_threads: int = Field(
        40, ge=1, le=1000, description="Request handlers at a time, and database connections."
    )
    models_base_url: str = Field(
        "https://github.com/ultralytics/assets/releases/download/v8.4.0",
        description="Where `trainyard models add --official` downloads from.",
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Lowest level that is logged."
    )
    timing: Timing = Timing()
    garbage: GarbageSettings = GarbageSettings()
    limits: Limits = Limits()
    worker: WorkerSettings = WorkerSettings()

    @field_validator("broker_url")
    @classmethod
    def _asks_for_a_password(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if url is not None and not info.data.get("insecure_broker") and _is_open(url):
            message = (
                "names a broker of another machine without a password: whoever reaches it can "
                "drop and forge bells. Give it one, or set insecure_broker on a network you trust"
            )
            raise ValueError(message)
        return url

    @model_validator(mode="after")
    def _expand_home(self) -> Self:
        object.__setattr__(self, "home", self.home.expanduser().absolute())
        return self

    @property
    def effective_database_url(self) -> str:
        """The database's SQLAlchemy URL; `postgresql://` means psycopg 3."""
        if self.database_url is None:
            return f"sqlite:///{self.home / 'trainyard.db'}"
        for scheme in ("postgresql://", "postgres://"):
            if self.database_url.startswith(scheme):
                return "postgresql+psycopg://" + self.database_url.removeprefix(scheme)
        return self.database_url

    @property
    def effective_store_url(self) -> str:
        """The artifact store's URL."""
        return self.store_url or (self.home / "store").as_uri()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- pydantic-settings' signature
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over secret files over `TRAINYARD_CONFIG`'s TOML."""
        return (
            init_settings,
            env_settings,
            file_secret_settings,
            TomlConfigSettingsSource(settings_cls, _config_file()),
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_open(url: SecretStr) -> bool:
    try:
        place = urlsplit(url.get_secret_value())
    except ValueError:
        message = "is no URL"
        raise ValueError(message) from None  # its words would repeat the password
    host = place.hostname
    return host is not None and not place.password and not is_loopback(host)


def _config_file() -> Path | None:
    named = os.environ.get("TRAINYARD_CONFIG")
    return Path(named) if named else None
