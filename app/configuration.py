"""Reading the settings at the start of a process, and refusing what must not run.

A refusal names the key and how to set it, never the value: it may be a secret.
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
"""`EX_CONFIG` of sysexits.h: a service manager need not try again."""

OUR_OWN = "Value error, "
"""What pydantic puts before the words of a check of ours."""


class BadConfiguration(Exception):
    """What was configured cannot run; the text says which key, and what it should be."""


def load_settings(**overrides: object) -> Settings:
    """Return the settings of environment and file, with `overrides` that are not None on top.

    Raises:
        BadConfiguration: a key is unknown or its value is wrong; every such key is named.
    """
    _refuse_missing_file()
    given: dict[str, Any] = {name: it for name, it in overrides.items() if it is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [_sentence(detail) for detail in error.errors(include_url=False)]
        raise BadConfiguration("\n".join(lines)) from None
    except (SettingsError, tomllib.TOMLDecodeError) as error:
        raise BadConfiguration(str(error)) from None


def refuse_open_bind(settings: Settings) -> None:
    """Plain HTTP leaves this machine only if the operator says that this is meant.

    Raises:
        BadConfiguration: the address is not a loopback one and nothing allows it.
    """
    if is_loopback(settings.host) or settings.behind_proxy or settings.insecure_http:
        return
    raise BadConfiguration(
        f"host: {settings.host} can be reached from other machines, and API keys would cross the "
        "network unencrypted. Put a proxy that ends TLS in front and say --behind-proxy, or say "
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
