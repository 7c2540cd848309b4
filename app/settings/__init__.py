"""Settings of server and worker: `TRAINYARD_*` environment variables override one TOML file.

Everything is validated at startup. An invalid value ends the process with exit status 78 and a
message that contains the name of the setting.
"""

import ipaddress
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.settings.accounts import AccountSettings
from app.settings.cage import CageMode
from app.settings.connections import ConnectionSettings
from app.settings.environment import is_of_kubernetes
from app.settings.integrity import ScrubSettings
from app.settings.limits import Limits
from app.settings.passwords import with_passwords
from app.settings.quotas import QuotaSettings
from app.settings.record import RecordSettings
from app.settings.retention import GarbageSettings, RetentionSettings
from app.settings.secret_files import configuration_in, secrets_from_files
from app.settings.streams import StreamSettings
from app.settings.timing import Timing
from app.settings.units import LOOPBACK, Network
from app.settings.verification import VerificationSettings
from app.settings.webhooks import WebhookSettings
from app.settings.worker import WorkerSettings

PATH_PREFIX = r"^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$"
_DATABASE_URL = re.compile(
    r"sqlite(\+pysqlite)?://.*"
    r"|(postgres|postgresql|postgresql\+psycopg)://([^/@]*@)?"
    r"(\[[0-9A-Fa-f:.]+\]|[^/@?:\[\]]*)(:[0-9]{1,5})?(/[^@?]*)?(\?.*)?"
)
"""Stricter than SQLAlchemy, which takes a part of a password with an unescaped @ or / for the host
or the port, and shows it in its messages."""


class Settings(BaseSettings):
    """Everything an operator can set. `home` contains all data without a URL of its own."""

    model_config = SettingsConfigDict(
        env_prefix="TRAINYARD_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Field(Path("~/.trainyard"), description="Directory of the instance.")
    database_url: str | None = Field(
        None, repr=False, description="SQLAlchemy URL. Default: SQLite in the home directory."
    )
    database_password: SecretStr | None = Field(
        None, description="Password for `database_url`, if the URL contains none."
    )
    insecure_broker: bool = Field(
        default=False, description="Allow a broker on another machine without a password."
    )
    broker_url: SecretStr | None = Field(
        None, description="Redis URL of the broker. Default: an embedded Valkey."
    )
    broker_password: SecretStr | None = Field(
        None, description="Password for `broker_url`, if the URL contains none."
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
    path_prefix: str = Field(
        "",
        max_length=200,
        pattern=PATH_PREFIX,
        description="Path below which a proxy publishes the server, such as /trainyard; it begins "
        "all links in responses. The proxy may strip it from requests or not.",
    )
    behind_proxy: bool = Field(
        default=False,
        description="Declare that a TLS proxy is in front of the server; "
        "allows addresses other than loopback.",
    )
    trusted_proxies: tuple[Network, ...] | None = Field(
        None,
        description="Networks whose `X-Forwarded-For`, `-Proto` and `-Host` headers are believed "
        "if `behind_proxy` is set. Default: loopback.",
    )
    tls_certificate_file: Path | None = Field(
        None, description="PEM file of the server's certificate chain; the server then speaks TLS."
    )
    tls_key_file: Path | None = Field(
        None, description="PEM file of the certificate's private key, without a passphrase."
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
    cage: CageMode = Field(
        "auto",
        description="How processes that handle uploaded data are held (docs/cage.md): auto (by "
        "every layer that the machine has; each other one is logged at the start), require (do "
        "not start if a layer is missing), or off.",
    )
    cage_host_network: tuple[str, ...] = Field(
        (),
        description="Slots whose trainers may use the network of the machine, such as cpu or 0. "
        "Any other trainer has only a loopback interface of its own.",
    )
    exclusive_cpu: bool = Field(
        default=False,
        description="Refuse a slot on the CPU if this machine has another one, of any home.",
    )
    models_base_url: str = Field(
        "https://github.com/ultralytics/assets/releases/download/v8.4.0",
        description="Base URL from which `trainyard models add --official` downloads: HTTPS, or "
        "HTTP on this machine.",
    )
    models_hosts: tuple[str, ...] = Field(
        ("github.com", "objects.githubusercontent.com", "release-assets.githubusercontent.com"),
        description="Hosts to which such a download may be redirected, by HTTPS only.",
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Lowest level that is logged."
    )
    admin_password_file: Path | None = Field(
        None,
        description="File with the password that the first administrator gets at the first start. "
        "Default: the server prints a set-up link.",
    )
    accounts: AccountSettings = AccountSettings()
    timing: Timing = Timing()
    garbage: GarbageSettings = GarbageSettings()
    limits: Limits = Limits()
    connections: ConnectionSettings = ConnectionSettings()
    streams: StreamSettings = StreamSettings()
    quotas: QuotaSettings = QuotaSettings()
    verification: VerificationSettings = VerificationSettings()
    webhooks: WebhookSettings = WebhookSettings()
    record: RecordSettings = RecordSettings()
    retention: RetentionSettings = RetentionSettings()
    scrub: ScrubSettings = ScrubSettings()
    worker: WorkerSettings = WorkerSettings()

    @model_validator(mode="before")
    @classmethod
    def _put_passwords_into_urls(cls, given: dict[str, Any]) -> dict[str, Any]:
        return with_passwords(given)

    @field_validator("database_url")
    @classmethod
    def _require_known_database(cls, url: str | None) -> str | None:
        if url is not None and _DATABASE_URL.fullmatch(url) is None:
            message = (
                "is not the URL of a database; write sqlite:///path or "
                "postgresql://user:password@host/name, with %40 for an @ in the password"
            )
            raise ValueError(message)
        return url

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
    def _require_pairs(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            message = "tls_certificate_file and tls_key_file need each other; set both or neither"
            raise ValueError(message)
        if self.trusted_proxies is not None and not self.behind_proxy:
            message = "trusted_proxies has no effect without behind_proxy; set it, too"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _expand_home(self) -> Self:
        object.__setattr__(self, "home", self.home.expanduser().absolute())
        return self

    @property
    def trash_grace(self) -> timedelta:
        """How long a job in the trash can be restored."""
        return timedelta(days=self.trash_days)

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
    def believed_proxies(self) -> tuple[Network, ...]:
        """Networks whose forwarding headers are believed; none unless `behind_proxy` is set."""
        if not self.behind_proxy:
            return ()
        return LOOPBACK if self.trusted_proxies is None else self.trusted_proxies

    @property
    def has_tls(self) -> bool:
        """Whether the server speaks TLS itself."""
        return self.tls_certificate_file is not None

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
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, highest priority first.

        Command line, environment, files that `TRAINYARD_<NAME>_FILE` names, the TOML file that
        `TRAINYARD_CONFIG` names.
        """
        if isinstance(env_settings, EnvSettingsSource):
            env_settings.env_vars = {
                name: value
                for name, value in env_settings.env_vars.items()
                if not is_of_kubernetes(name.upper(), value or "")
            }
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, secrets_from_files(os.environ)),
            InitSettingsSource(settings_cls, configuration_in(_config_file())),
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
