"""Passwords: rules for new ones, and at most two hashes at once."""

import threading
from unittest import mock

import pytest

from app.accounts import passwords
from app.accounts.passwords import (
    MAX_WAITING,
    MOST_COMMON,
    NOBODYS_HASH,
    PasswordsBusy,
    WeakPassword,
    check_password,
    hash_password,
    needs_rehash,
    verify_password,
)
from tests.waiting import eventually

pytestmark = pytest.mark.unit


class TestRules:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "1234567",
            "a" * 201,
            "password",
            "PassWord",
            "zzzzzzzzzz",
            "ada.lovelace",
            "Qwertyui",
        ],
    )
    def test_a_weak_password_is_refused(self, text: str) -> None:
        with pytest.raises(WeakPassword) as refused:
            check_password(text, user_name="ada.lovelace")

        assert [error.pointer for error in refused.value.errors] == ["/password"]

    @pytest.mark.parametrize("text", ["8 letter", "пароль на двести", "a" * 100 + "b" * 100])
    def test_other_passwords_are_accepted(self, text: str) -> None:
        check_password(text, user_name="ada")

    def test_the_list_has_only_passwords_that_are_long_enough(self) -> None:
        assert {each for each in MOST_COMMON if len(each) < 8 or each != each.casefold()} == set()


class TestHashes:
    def test_only_the_password_itself_verifies(self) -> None:
        stored = hash_password("caf\u00e9 au lait")

        assert stored.startswith("$argon2id$")
        assert verify_password("cafe\u0301 au lait", stored)  # as another keyboard enters it
        assert not verify_password("cafe au lait", stored)
        assert not needs_rehash(stored)

    def test_an_unknown_user_costs_the_same_work(self) -> None:
        with mock.patch.object(passwords._hasher, "verify", wraps=passwords._hasher.verify) as work:
            matches = verify_password("anything", None)

        assert not matches
        work.assert_called_once_with("anything", NOBODYS_HASH)
        assert not needs_rehash(NOBODYS_HASH)

    def test_a_stored_value_that_is_no_hash_never_verifies(self) -> None:
        assert not verify_password("anything", "plain text")


class TestTurns:
    def test_two_hash_at_once_and_a_bounded_number_waits(self) -> None:
        running, most, go_on = 0, 0, threading.Event()
        lock = threading.Lock()

        def slow_hash(_: str) -> str:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            go_on.wait(30)
            with lock:
                running -= 1
            return "hash"

        with mock.patch.object(passwords._hasher, "hash", slow_hash):
            threads = [
                threading.Thread(target=hash_password, args=("text",))
                for _ in range(2 + MAX_WAITING)
            ]
            for thread in threads:
                thread.start()
            eventually(lambda: passwords._turns._places._value == 0, within=30)

            with pytest.raises(PasswordsBusy):
                hash_password("one more")

            go_on.set()
            for thread in threads:
                thread.join()
        assert most == 2
