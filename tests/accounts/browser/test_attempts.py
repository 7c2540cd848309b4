"""Attempts to get in are limited per account and address, and per address."""

import pytest

from app.accounts.browser.attempts import Attempts, subject_of
from app.core.rate_limits import RateCounters, RateLimited
from app.settings.accounts import AccountSettings

pytestmark = pytest.mark.unit

HERE, THERE = "192.0.2.1", "192.0.2.2"


def some_attempts(**limits: int) -> Attempts:
    settings = AccountSettings.model_validate(limits)
    return Attempts(RateCounters("redis://127.0.0.1:1/0"), settings)


def sign_in(attempts: Attempts, address: str, name: str, count: int) -> int:
    """Try `count` times; return how many attempts were allowed."""
    allowed = 0
    for _ in range(count):
        try:
            attempts.sign_in(address, name)
        except RateLimited:
            continue
        allowed += 1
    return allowed


class TestSignIns:
    def test_the_eleventh_guess_for_an_account_is_refused(self) -> None:
        assert sign_in(some_attempts(), HERE, "ada", 15) == 10

    def test_the_owner_can_sign_in_from_another_address(self) -> None:
        attempts = some_attempts()
        sign_in(attempts, HERE, "ada", 15)

        assert sign_in(attempts, THERE, "ada", 1) == 1

    def test_guesses_for_many_accounts_are_limited_by_the_address(self) -> None:
        attempts = some_attempts()

        allowed = sum(sign_in(attempts, HERE, f"user{number}", 1) for number in range(40))

        assert allowed == 30

    def test_a_success_forgets_the_guesses_for_its_account_alone(self) -> None:
        attempts = some_attempts(sign_ins_per_minute=3, address_sign_ins_per_minute=8)
        sign_in(attempts, HERE, "ada", 3)

        attempts.signed_in(HERE, "ada")

        assert sign_in(attempts, HERE, "ada", 9) == 3
        assert sign_in(attempts, HERE, "eve", 1) == 0


class TestSubject:
    @pytest.mark.parametrize(
        ("address", "subject"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
            ("testclient", "testclient"),
            (None, "unknown"),
            ("", "unknown"),
        ],
    )
    def test_an_ipv6_network_counts_as_one_address(self, address: str | None, subject: str) -> None:
        assert subject_of(address) == subject
