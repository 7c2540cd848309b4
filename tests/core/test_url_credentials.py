"""Which URLs contain a key."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Scope

from app.accounts.keys import KeyText, new_key
from app.accounts.tables import KeyKind
from app.core.url_credentials import has_credential

KEY = str(KeyText(KeyKind.USER, "0123456789ab", "s" * 32))  # fixed: it is in the names of tests


def at(path: str, query: str = "") -> Scope:
    return {"path": path, "query_string": query.encode("latin-1")}


class TestKeys:
    @pytest.mark.parametrize("kind", KeyKind)
    def test_a_key_of_any_kind_is_recognised(self, kind: KeyKind) -> None:
        assert has_credential(at("/v1/jobs", f"x={new_key(kind)}"))

    @pytest.mark.parametrize(
        ("path", "query"),
        [
            ("/v1/jobs", f"access_token={KEY}"),
            ("/v1/jobs", f"limit=1&name={KEY}"),
            ("/v1/jobs", KEY),
            ("/v1/jobs", f"{KEY}=1"),
            ("/v1/jobs", f"Authorization=Bearer%20{KEY}"),
            ("/v1/jobs", KEY.replace("_", "%5f")),
            ("/v1/jobs", quote(KEY.replace("_", "%5F"))),
            ("/v1/jobs", "x=" + "".join(f"%{ord(each):02x}" for each in KEY)),
            ("/v1/jobs", f"x={KEY[:-10]}"),
            ("/v1/jobs", "token=trainyard_user_short"),
            ("/v1/jobs", "API_KEY=trainyard_x"),
            (f"/v1/jobs/{KEY}", ""),
            (f"/{KEY}@/livez", ""),
        ],
    )
    def test_a_key_anywhere_in_the_url_is_recognised(self, path: str, query: str) -> None:
        assert has_credential(at(path, query))

    @pytest.mark.parametrize(
        "query",
        [
            "name=trainyard_dataset_20240101",
            "name=trainyard",
            "token=",
            "key=abc",
            "cursor=" + "A" * 99,
        ],
    )
    def test_other_text_is_left_alone(self, query: str) -> None:
        assert not has_credential(at("/v1/datasets", query))

    @given(st.text(), st.text(), st.integers(0, 2))
    def test_a_key_between_any_text_is_recognised(self, left: str, right: str, times: int) -> None:
        text = f"{left}={KEY}&{right}"
        for _ in range(times):
            text = quote(text)

        assert has_credential(at("/", quote(text, safe="%=&")))
