"""Settings of server and worker: `TRAINYARD_*` environment variables override one TOML file.

Everything is validated at startup. An invalid value ends the process with exit status 78 and a
message that contains the name of the setting.
"""

import ipaddress
import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
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
GIB = 1024 * MIB


class Timing(BaseModel):
    """Every interval that leases depend on, in seconds.

    Only the database's clock decides whether a lease has expired. A worker measures the time since
    its last renewal with its monotonic clock, and kills its trainer after `self_fence_seconds`,
    before another worker may claim the job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lease_seconds: Seconds = Field(90.0, description="How long a claim is valid without a renewal.")
    heartbeat_seconds: Seconds = Field(
        10.0, description="Interval between renewals of a lease, and between heartbeats of a slot."
    )
    self_fence_seconds: Seconds = Field(
        75.0, description="A worker kills its trainer after this time without a renewed lease."
    )
    request_poll_seconds: Seconds = Field(
        0.5, description="Interval at which a worker checks its job for pending requests."
    )
    reconcile_seconds: Seconds = Field(
        2.0, description="Interval at which a server checks for unclaimed and abandoned jobs."
    )
    doorbell_retry_seconds: Seconds = Field(
        10.0,
        description="Delay before a server rings again for an unclaimed job; doubles every time.",
    )
    doorbell_retry_max_seconds: Seconds = Field(
        600.0, description="Upper limit of `doorbell_retry_seconds` after doubling."
    )
    restart_backoff_seconds: Seconds = Field(
        5.0,
        description="Delay before an interrupted job may be claimed again; doubles every time.",
    )
    kill_grace_seconds: Seconds = Field(
        10.0,
        description="Time between SIGTERM and SIGKILL to a trainer, in which it writes its newest "
        "training state; at most 1 s after a cancel.",
    )
    worker_silent_seconds: Seconds = Field(
        60.0, description="A slot counts as gone after this time without a heartbeat."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.lease_seconds > self.self_fence_seconds > 3 * self.heartbeat_seconds:
            message = "needs lease_seconds > self_fence_seconds > 3 x heartbeat_seconds"
            raise ValueError(message)
        return self

    @property
    def lease(self) -> timedelta:
        """`lease_seconds` as a duration."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def doorbell_retry(self) -> timedelta:
        """`doorbell_retry_seconds` as a duration."""
        return timedelta(seconds=self.doorbell_retry_seconds)

    @property
    def doorbell_retry_max(self) -> timedelta:
        """`doorbell_retry_max_seconds` as a duration."""
        return timedelta(seconds=self.doorbell_retry_max_seconds)

    @property
    def restart_backoff(self) -> timedelta:
        """`restart_backoff_seconds` as a duration."""
        return timedelta(seconds=self.restart_backoff_seconds)

    @property
    def worker_silence(self) -> timedelta:
        """`worker_silent_seconds` as a duration."""
        return timedelta(seconds=self.worker_silent_seconds)


class Limits(BaseModel):
    """Upper limits on the size of one request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    json_body_bytes: int = Field(MIB, ge=1024, description="Maximum size of a JSON body.")
    dataset_archive_bytes: int = Field(
        64 * 1024 * MIB, ge=MIB, description="Maximum size of a dataset archive."
    )
    disk_reserve_bytes: int = Field(
        2 * 1024 * MIB,
        ge=0,
        description="Free space that uploads leave on a disk, at most 10 % of the disk.",
    )


class GarbageSettings(BaseModel):
    """When the server removes data that is no longer needed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grace_hours: float = Field(
        24.0,
        ge=0,
        description="Delay before unreferenced bytes are removed. "
        "Set it higher than the duration of a backup.",
    )
    period_seconds: Seconds = Field(
        60.0, description="Interval at which a server checks for removable data."
    )


class RetentionSettings(BaseModel):
    """How long data is kept that is still useful, but that nothing depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upload_days: float = Field(
        30,
        ge=0,
        le=36_500,
        description="Days for which the uploaded archive of a dataset version is kept after its "
        "last use: its upload, its verification, or a new version read from it.",
    )
    invalid_upload_days: float = Field(
        7, ge=0, le=36_500, description="The same, of a version that is invalid."
    )


class VerificationSettings(BaseModel):
    """How many uploaded datasets a server verifies at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    processes: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Number of datasets that a server verifies at once, each in a process that "
        "uses one CPU core. Default: half of the cores and at least 2, but at most one for each "
        "2 GiB of memory.",
    )

    @property
    def effective_processes(self) -> int:
        """`processes`, or its default on this machine."""
        if self.processes is not None:
            return self.processes
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return default_processes(cores or 1, memory)


def default_processes(cores: int, memory_bytes: int) -> int:
    """Return how many verifications run at once on a machine of this size.

    Two on a small machine, so that a small upload does not wait for a large one. A verification
    of large images needs about 1 GiB (64 megapixels, decoded and converted).
    """
    return max(1, min(max(2, cores // 2), memory_bytes // (2 * GIB)))


WarmTrainers = Literal["auto", "always", "never"]


class WorkerSettings(BaseModel):
    """Limits on the resources of the machine that a worker uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_limit_bytes: int | None = Field(
        None,
        ge=MIB,
        description="Maximum address space of a trainer on a CPU slot. Default: no limit.",
    )
    dataset_cache_bytes: int = Field(
        100 * 1024 * MIB,
        ge=0,
        description="Size of the dataset cache on the worker's disk: versions, scans and arrays.",
    )
    log_bytes: int = Field(
        64 * MIB, ge=MIB, description="Maximum log of one attempt; later output is discarded."
    )
    warm: WarmTrainers = Field(
        "auto",
        description="Whether trainers are forked by a process that has imported torch and "
        "Ultralytics (400 MB of memory per slot): auto (from a slot's first job until ten minutes "
        "after its last one), always, or never.",
    )


class Settings(BaseSettings):
    """Everything an operator can set. `home` contains all data without a URL of its own."""

    model_config = SettingsConfigDict(
        env_prefix="TRAINYARD_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Field(Path("~/.trainyard"), description="Directory of the instance.")
    database_url: str | None = Field(
        None, repr=False, description="SQLAlchemy URL. Default: SQLite in the home directory."
    )
    insecure_broker: bool = Field(
        default=False, description="Allow a broker on another machine without a password."
    )
    broker_url: SecretStr | None = Field(
        None, description="Redis URL of the broker. Default: an embedded Valkey."
    )
    store_url: str | None = Field(
        None,
        repr=False,
        description="URL of the artifact store (s3://, gs://, az:// or file://). "
        "Default: a folder in the home directory.",
    )
    secret_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Key that seals page cursors; the same on every server of an instance. "
        "Default: generated once, in the home directory.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(
        8080, ge=0, le=65_535, description="Port to listen on; 0 selects a free port."
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names that requests may use, in addition to loopback names."
    )
    behind_proxy: bool = Field(
        default=False,
        description="Declare that a TLS proxy is in front of the server; "
        "allows addresses other than loopback.",
    )
    insecure_http: bool = Field(
        default=False, description="Allow plain HTTP on addresses other than loopback."
    )
    trash_days: float = Field(
        7, ge=0, le=36_500, description="Days for which a deleted job can be restored."
    )
    state_every: int | None = Field(
        None,
        ge=1,
        description="Epochs between two training states. "
        "Default: as often as the cost stays below 1 % of the training time.",
    )
    keep_state_days: float = Field(
        14, ge=0, le=36_500, description="Days for which an ended job keeps its training state."
    )
    keep_upload_hours: float = Field(
        24,
        gt=0,
        le=8760,
        description="Hours for which an upload is kept after its last byte arrived.",
    )
    request_threads: int = Field(
        40,
        ge=1,
        le=1000,
        description="Number of concurrent request handlers, and of database connections.",
    )
    models_base_url: str = Field(
        "https://github.com/ultralytics/assets/releases/download/v8.4.0",
        description="Base URL from which `trainyard models add --official` downloads.",
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Lowest level that is logged."
    )
    timing: Timing = Timing()
    garbage: GarbageSettings = GarbageSettings()
    limits: Limits = Limits()
    verification: VerificationSettings = VerificationSettings()
    retention: RetentionSettings = RetentionSettings()
    worker: WorkerSettings = WorkerSettings()

    @field_validator("broker_url")
    @classmethod
    def _require_password(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if url is not None and not info.data.get("insecure_broker") and _is_open(url):
            message = (
                "names a broker on another machine without a password: anyone who can connect to "
                "it can drop and forge messages. Set a password in the URL, or set "
                "insecure_broker on a network that you trust"
            )
            raise ValueError(message)
        return url

    @model_validator(mode="after")
    def _expand_home(self) -> Self:
        object.__setattr__(self, "home", self.home.expanduser().absolute())
        return self

    @property
    def effective_database_url(self) -> str:
        """SQLAlchemy URL of the database; `postgresql://` selects the psycopg 3 driver."""
        if self.database_url is None:
            return f"sqlite:///{self.home / 'trainyard.db'}"
        for scheme in ("postgresql://", "postgres://"):
            if self.database_url.startswith(scheme):
                return "postgresql+psycopg://" + self.database_url.removeprefix(scheme)
        return self.database_url

    @property
    def effective_store_url(self) -> str:
        """URL of the artifact store."""
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
        """Return the sources, highest priority first.

        Command line, environment, secret files, the TOML file that `TRAINYARD_CONFIG` names.
        """
        return (
            init_settings,
            env_settings,
            file_secret_settings,
            TomlConfigSettingsSource(settings_cls, _config_file()),
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_open(url: SecretStr) -> bool:
    try:
        parts = urlsplit(url.get_secret_value())
    except ValueError:
        message = "is not a URL"
        raise ValueError(message) from None  # the original message would repeat the password
    host = parts.hostname
    return host is not None and not parts.password and not is_loopback(host)


def _config_file() -> Path | None:
    named = os.environ.get("TRAINYARD_CONFIG")
    return Path(named) if named else None
