"""Errors of logins of programs."""

from app.core.errors import Conflict, Forbidden, Gone, NotFound


class LoginNotFound(NotFound):
    """No login with this short code waits to be confirmed."""

    slug, title = "login-not-found", "No login has this code"

    def __init__(self) -> None:
        super().__init__(
            "No login with this code waits to be confirmed. A code has 4 letters and 4 digits, "
            "works once, and is valid for 10 minutes. Start the login again for a new one."
        )


class AuthorizationPending(Conflict):
    """The login is not confirmed yet; ask again after `Retry-After` seconds."""

    slug, title = "authorization-pending", "The login is not confirmed yet"

    def __init__(self, interval: int) -> None:
        super().__init__(
            "The code is not confirmed yet. Ask again after some seconds.",
            retry_after=interval,
        )


class LoginRefused(Forbidden):
    """The signed-in user refused the login."""

    slug, title = "login-refused", "The login was refused"

    def __init__(self) -> None:
        super().__init__("The user who opened the page refused this login.")


class LoginClosed(Gone):
    """The login is unknown, has given its key already, or is older than 10 minutes."""

    slug, title = "login-closed", "The login is closed"

    def __init__(self) -> None:
        super().__init__(
            "This login is unknown, has given its key already, or is older than 10 minutes. "
            "Start a new one."
        )
