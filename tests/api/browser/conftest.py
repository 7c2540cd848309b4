"""A browser without a session, and one with a session."""

import pytest

from tests.api.browser.browsers import Browser, a_browser, with_password
from tests.api.browser.browsers import signed_in as with_session
from tests.worlds.server import Api


@pytest.fixture
def browser(api: Api) -> Browser:
    """A browser of the first user, who has a password, before the sign-in."""
    return a_browser(with_password(api))


@pytest.fixture
def signed_in(api: Api) -> Browser:
    """A browser with a session of the first user, who has a password."""
    return with_session(with_password(api))
