"""The table of response headers."""

import pytest
from starlette.datastructures import MutableHeaders

from app.core.response_headers import (
    HSTS,
    IMMUTABLE,
    NO_FRAMES,
    NO_STORE,
    NOTHING,
    REVALIDATED,
    complete,
)


def completed(
    own: dict[str, str] | None = None, *, status: int = 200, is_tls: bool = False
) -> MutableHeaders:
    headers = MutableHeaders(own or {})
    complete(headers, status, is_tls=is_tls)
    return headers


class TestCaching:
    @pytest.mark.parametrize(
        ("status", "own", "expected"),
        [
            (200, {}, NO_STORE),
            (200, {"etag": '"a"'}, REVALIDATED),
            (304, {"etag": '"a"'}, REVALIDATED),
            (200, {"etag": '"a"', "cache-control": IMMUTABLE}, IMMUTABLE),
            (206, {"cache-control": IMMUTABLE}, IMMUTABLE),
            (200, {"etag": '"a"', "cache-control": NO_STORE}, NO_STORE),
            (200, {"cache-control": "public, max-age=60"}, NO_STORE),
            (404, {"cache-control": IMMUTABLE}, NO_STORE),
            (412, {"etag": '"a"'}, NO_STORE),
            (200, {"content-type": "text/html; charset=utf-8", "etag": '"a"'}, NO_STORE),
            (200, {"content-type": "TEXT/HTML", "cache-control": IMMUTABLE}, NO_STORE),
        ],
    )
    def test_only_what_is_named_by_a_digest_or_tag_is_kept_by_a_browser(
        self, status: int, own: dict[str, str], expected: str
    ) -> None:
        assert completed(own, status=status)["Cache-Control"] == expected


class TestPolicy:
    def test_an_answer_without_a_policy_may_load_nothing_and_is_in_no_frame(self) -> None:
        assert completed()["Content-Security-Policy"] == NOTHING

    def test_a_page_with_its_own_policy_is_in_no_frame_either(self) -> None:
        own = completed({"content-security-policy": "default-src 'self'"})

        assert own["Content-Security-Policy"] == f"default-src 'self'; {NO_FRAMES}"


class TestTls:
    def test_a_browser_is_told_to_keep_to_tls_only_by_tls(self) -> None:
        by_tls, plain = completed(is_tls=True), completed()

        assert by_tls["Strict-Transport-Security"] == HSTS
        assert "Strict-Transport-Security" not in plain
