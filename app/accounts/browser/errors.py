"""Errors of browser sessions, sign-in and set-up."""

from app.core.errors import FieldError, Forbidden, Gone, Invalid


class CrossSiteRequest(Forbidden):
    """A page of another site caused the request, or nothing shows that a page of ours did."""

    slug, title = "csrf", "The request may come from another site"

    def __init__(self) -> None:
        super().__init__(
            "A request with a session cookie needs Sec-Fetch-Site: same-origin, or the Origin of "
            "this server. Programs use an API key instead."
        )


class SessionRequired(Forbidden):
    """Only a signed-in user can do this, not a key."""

    slug, title = "session-required", "A browser session is needed"

    def __init__(self) -> None:
        super().__init__("This request requires the session of a signed-in user, not an API key.")


class InsecureConnection(Forbidden):
    """A browser would not keep the session, because the connection is not encrypted."""

    slug, title = "insecure-connection", "Sign in over HTTPS"

    def __init__(self) -> None:
        super().__init__(
            "Browsers keep sessions only over HTTPS, or on the server's own machine. Use HTTPS. "
            "A TLS proxy in front of the server must be trusted and send X-Forwarded-Proto."
        )


class WrongPassword(Invalid):
    """The current password is not the one that was sent."""

    slug, title = "wrong-password", "Wrong current password"

    def __init__(self) -> None:
        message = "This is not your current password."
        super().__init__(
            message, errors=[FieldError("/current_password", "wrong-password", message)]
        )


class SetupClosed(Gone):
    """The set-up link was used, is older than 30 minutes, or is no longer needed."""

    slug, title = "setup-closed", "The set-up link is closed"

    def __init__(self) -> None:
        super().__init__(
            "This set-up link was used, is older than 30 minutes, or an administrator exists. "
            "The operator prints a new one with `trainyard setup-link` if there is none."
        )


class SignInLinkClosed(Gone):
    """The sign-in link was used, is older than 10 minutes, or is no longer needed."""

    slug, title = "sign-in-link-closed", "The sign-in link is closed"

    def __init__(self) -> None:
        super().__init__(
            "This link was used, is older than 10 minutes, or an administrator has a password. "
            "`trainyard up` prints a new one at each start while no administrator has a password."
        )


class OnlyFromThisMachine(Forbidden):
    """A sign-in link was opened on another machine than the server's."""

    slug, title = "only-from-this-machine", "Open the link on the server's own machine"

    def __init__(self) -> None:
        super().__init__(
            "A sign-in link works in a browser on the machine of the server only. From elsewhere, "
            "use the link of `trainyard setup-link`, or sign in with a password."
        )
