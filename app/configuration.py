"""Load the settings at the start of a process and refuse invalid ones.

A message names the setting and its environment variable, never the value, which may be a secret.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from app.settings import Settings, is_loopback
from app.settings.environment import PREFIX, closest, unknown_variables, variables_of
from app.settings.home import secure_home

EXIT_BAD_CONFIGURATION = 78
"""`EX_CONFIG` of sysexits.h: a service manager need not restart the process."""

OUR_OWN = "Value error, "
"""Prefix that pydantic adds to the messages of our validators."""

_NOT_JSON = re.compile(r'error parsing value for field "(?P<field>\w+)" from source "Env')


class BadConfiguration(Exception):
    """The configuration is invalid; the message names each setting and what is wrong with it."""


def load_settings(**overrides: object) -> Settings:
    """Return the settings of environment and files; `overrides` that are not None take precedence.

    A home that exists is closed to other users, see `secure_home`.

    Raises:
        BadConfiguration: a key or a `TRAINYARD_*` variable is unknown, a value is invalid, other
            users have access to a file with secrets, or the home is another user's. The message
            names every such key.
    """
    _refuse_missing_file()
    _refuse_unknown_variables()
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings(**given)
        secure_home(settings.home)
    except ValidationError as error:
        lines = [_sentence(detail) for detail in error.errors(include_url=False)]
        raise BadConfiguration("\n".join(lines)) from None
    except SettingsError as error:
        raise BadConfiguration(_without_jargon(str(error))) from None
    except tomllib.TOMLDecodeError as error:
        raise BadConfiguration(f"TRAINYARD_CONFIG: {error}") from None
    return settings


def refuse_open_bind(settings: Settings) -> None:
    """Refuse plain HTTP on addresses that other machines can reach, unless the operator allows it.

    Raises:
        BadConfiguration: the address is not loopback, the server has no TLS files, and neither
            `behind_proxy` nor `insecure_http` is set.
    """
    is_encrypted = settings.has_tls or settings.behind_proxy
    if is_loopback(settings.host) or is_encrypted or settings.insecure_http:
        return
    raise BadConfiguration(
        f"host: {settings.host} can be reached from other machines, and API keys would cross the "
        "network unencrypted. Set --tls-cert and --tls-key, put a TLS proxy in front of the server "
        "and set --behind-proxy, set --insecure-http on a network that you trust, or listen on "
        "127.0.0.1."
    )


def _refuse_missing_file() -> None:
    named = os.environ.get("TRAINYARD_CONFIG")
    if named and not Path(named).is_file():
        raise BadConfiguration("TRAINYARD_CONFIG: names a file that does not exist")


def _refuse_unknown_variables() -> None:
    known = variables_of(Settings)
    lines = [_unknown(name, known) for name in unknown_variables(os.environ, known)]
    if lines:
        raise BadConfiguration("\n".join(lines))


def _unknown(name: str, known: frozenset[str]) -> str:
    guess = closest(name, known)
    return f"{name}: there is no such setting" + (f"; did you mean {guess}?" if guess else "")


def _without_jargon(message: str) -> str:
    """Replace the message of pydantic-settings about JSON that it cannot parse."""
    found = _NOT_JSON.match(message)
    if found is None:
        return message
    variable = f"{PREFIX}{found['field'].upper()}"
    return f'{found["field"]} ({variable}): is not JSON; a list is written as \'["a", "b"]\''


def _sentence(detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix(OUR_OWN)
    path = [str(part) for part in detail["loc"]]
    if not path:  # a rule between several settings, which names them
        return message
    key, variable = ".".join(path), PREFIX + "__".join(path).upper()
    if detail["type"] == "extra_forbidden":  # in the file: unknown variables were refused before
        guess = closest(variable, variables_of(Settings))
        meant = guess and guess.removeprefix(PREFIX).replace("__", ".").lower()
        return f"{key}: there is no such setting" + (f"; did you mean {meant}?" if meant else "")
    return f"{key} ({variable}): {message}"
