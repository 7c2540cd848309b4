"""Passwords that are given apart from the URL that they belong to."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

URL_OF: Final = {"database_password": "database_url", "broker_password": "broker_url"}
"""The URL that each password belongs to."""


def with_passwords(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given settings with each password in its URL.

    Raises:
        ValueError: a URL is missing, is no URL, or has a password already. The message contains
            neither of them.
    """
    settings = dict(given)
    for name, url_name in URL_OF.items():
        password = _text(settings.get(name))
        if password is None:
            continue
        url = _text(settings.get(url_name))
        if url is None:
            message = f"{name} is set, but {url_name} is not; set it, too"
            raise ValueError(message)
        settings[url_name] = _with_password(url, password, name=name, url_name=url_name)
    return settings


def _with_password(url: str, password: str, *, name: str, url_name: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        message = f"{url_name} is not a URL"
        raise ValueError(message) from None  # the original message would repeat the URL
    user, _, host = parts.netloc.rpartition("@")
    if ":" in user:
        message = f"{url_name} contains a password and {name} is set; give only one of them"
        raise ValueError(message)
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()


def _text(value: object) -> str | None:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return None if value is None else str(value)
