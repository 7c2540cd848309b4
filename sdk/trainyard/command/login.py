"""`login`: get a key by a short code that a signed-in user confirms, or read one from stdin."""

import socket
import sys
import time
from typing import Annotated, Any, Final

import typer

from trainyard.client import Client
from trainyard.command.shared import AsJson, show_in_browser
from trainyard.command.text import put_json, say
from trainyard.configuration import store_login
from trainyard.errors import ConfigurationError, ProblemError, TooManyRequestsError, TrainyardError

PENDING: Final = "authorization-pending"
DAY: Final = 86_400


def login(
    url: Annotated[
        str | None, typer.Argument(help="Address of the server; default: the known one.")
    ] = None,
    *,
    key_stdin: Annotated[
        bool, typer.Option("--key-stdin", help="Read an API key from stdin instead.")
    ] = False,
    scope: Annotated[
        list[str] | None, typer.Option(help="What the key may do; default: what training needs.")
    ] = None,
    days: Annotated[int, typer.Option(help="How long the key is valid.", min=1, max=365)] = 90,
    as_json: AsJson = False,
) -> None:
    """Get a key for a server and store it, readable by you only.

    Opens a page on which you compare a short code. No key is ever an argument of a command.
    """
    with Client(url) as client:
        address = client.server.url
        key = _key_of_stdin() if key_stdin else _confirmed(client, _begun(client, scope, days))
    with Client(address, key) as client:
        user = client.request("GET", "/v1/me")
    path = store_login(address, key)
    name = user["user"]
    say(f"Signed in at {address} as {name}; the key is in {path}.")
    if as_json:
        put_json({"url": address, "user": name, "file": str(path)})


def _key_of_stdin() -> str:
    key = sys.stdin.readline().strip()
    if not key:
        raise ConfigurationError("There is no key on stdin.")
    return key


def _begun(client: Client, scopes: list[str] | None, days: int) -> dict[str, Any]:
    body: dict[str, Any] = {"host": socket.gethostname()[:100] or "unknown"}
    body["key_expires_in_seconds"] = days * DAY
    if scopes:
        body["scopes"] = scopes
    begun: dict[str, Any] = client.request("POST", "/v1/logins", json=body)
    page = begun.get("verification_url_complete") or begun["verification_url"]
    say(f"Open {page} and confirm the code {begun['user_code']}.")
    show_in_browser(page)
    return begun


def _confirmed(client: Client, begun: dict[str, Any]) -> str:
    """Ask for the key until the user has confirmed the code."""
    deadline = time.monotonic() + begun["expires_in"]
    while time.monotonic() < deadline:
        try:
            answer = client.request(
                "POST", "/v1/logins/poll", json={"device_code": begun["device_code"]}
            )
        except TooManyRequestsError:
            pass
        except ProblemError as error:
            if error.slug != PENDING:
                raise
        else:
            return str(answer["key"])
        time.sleep(begun["interval"])  # noqa: TID251 -- the server says how often to ask
    raise TrainyardError("Nobody confirmed the code in time. Run `trainyard login` again.")
