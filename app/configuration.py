"""Load the settings at the start of a process and refuse invalid ones.

A message names the setting and its environment variable, never the value, which may be a secret.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from app.settings import Settings, is_loopback

EXIT_BAD_CONFIGURATION = 78
"""`EX_CONFIG` of sysexits.h: a service manager need not restart the process."""

OUR_OWN = "Value error, "
"""Prefix that pydantic adds to the messages of our validators."""


class BadConfiguration(Exception):
    """The configuration is invalid; the message names each setting and what is wrong with it."""


def load_settings(**overrides: object) -> Settings:
    """Return the settings of environment and file; `overrides` that are not None take precedence.

    Raises:
        BadConfiguration: a key is unknown or its value is invalid. The message names every such
            key.
    """
    _refuse_missing_file()
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [_sentence(detail) for detail in error.errors(include_url=False)]
        raise BadConfiguration("\n".join(lines)) from None
    except (SettingsError, tomllib.TOMLDecodeError) as error:
        raise BadConfiguration(str(error)) from None


def refuse_open_bind(settings: Settings) -> None:
    """Refuse plain HTTP on addresses that other machines can reach, unless the operator allows it.

    Raises:
        BadConfiguration: the address is not loopback, and neither `behind_proxy` nor
            `insecure_http` is set.
    """
    if is_loopback(settings.host) or settings.behind_proxy or settings.insecure_http:
        return
    raise BadConfiguration(
        f"host: {settings.host} can be reached from other machines, and API keys would cross the "
        "network unencrypted. Put a TLS proxy in front of the server and set --behind-proxy, set "
        "--insecure-http on a network that you trust, or listen on 127.0.0.1."
    )


def _refuse_missing_file() -> None:
    named = os.environ.get("TRAINYARD_CONFIG")
    if named and not Path(named).is_file():
        raise BadConfiguration("TRAINYARD_CONFIG: names a file that does not exist")


def _sentence(detail: ErrorDetails) -> str:
    path = [str(part) for part in detail["loc"]]
    key, variable = ".".join(path), "TRAINYARD_" + "__".join(path).upper()
    return f"{key} ({variable}): {detail['msg'].removeprefix(OUR_OWN)}"
