"""Limits on attempts to get in, and on writing requests."""

from app.core.addresses import counted_client
from app.core.rate_limits import Rate, RateCounters
from app.settings.accounts import AccountSettings


class Attempts:
    """Counts attempts; each method raises `RateLimited` if there were too many in a minute.

    Args:
        counters: that all servers share while the broker runs.
        settings: the limits.
    """

    def __init__(self, counters: RateCounters, settings: AccountSettings) -> None:
        self._counters = counters
        self._account = Rate("sign-in", settings.sign_ins_per_minute)
        self._address = Rate("sign-in-address", settings.address_sign_ins_per_minute)
        self._setup = Rate("setup", settings.setups_per_minute)
        self._login = Rate("login", settings.logins_per_minute)
        self._login_poll = Rate("login-poll", settings.login_polls_per_minute)
        self._wrong_key = Rate("wrong-key", settings.wrong_keys_per_minute)
        self._write = Rate("write", settings.writes_per_minute)

    def sign_in(self, address: str | None, name: str) -> None:
        """Count an attempt to sign in, before the password is checked."""
        subject = subject_of(address)
        self._counters.hit(self._address, subject)
        self._counters.hit(self._account, subject, name)

    def signed_in(self, address: str | None, name: str) -> None:
        """Forget the attempts for this account from this address, as its owner made them."""
        self._counters.clear(self._account, subject_of(address), name)

    def setup(self, address: str | None) -> None:
        """Count a use of a set-up link, right or wrong."""
        self._counters.hit(self._setup, subject_of(address))

    def login(self, address: str | None) -> None:
        """Count a login of a program that is begun, or a short code that is looked up."""
        self._counters.hit(self._login, subject_of(address))

    def login_poll(self, address: str | None) -> None:
        """Count a question whether a login was confirmed."""
        self._counters.hit(self._login_poll, subject_of(address))

    def wrong_key(self, address: str | None) -> None:
        """Count a request with a wrong key."""
        self._counters.hit(self._wrong_key, subject_of(address))

    def write(self, credential: str) -> None:
        """Count a writing request of a key or a session."""
        self._counters.hit(self._write, credential)


def subject_of(address: str | None) -> str:
    """Return what is counted for a client's address."""
    return counted_client(address) if address else "unknown"
