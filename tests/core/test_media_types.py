"""The media types that an Accept header allows."""

import pytest

from app.core.media_types import accepts

pytestmark = pytest.mark.unit


class TestAccepts:
    @pytest.mark.parametrize(
        "header",
        [
            "",
            " ",
            "*/*",
            "application/json",
            "APPLICATION/JSON",
            "application/*",
            "text/html, application/xml;q=0.9, */*;q=0.8",
            "application/json;q=0.001",
            "application/json; charset=utf-8",
            "text/html;q=0, application/json",
            "application/*;q=0, application/json",
            "garbage, application/json",
            "application/json;q=high",
        ],
    )
    def test_json_is_taken_where_the_header_lets_it(self, header: str) -> None:
        assert accepts(header, {"application/json"})

    @pytest.mark.parametrize(
        "header",
        [
            "image/png",
            "text/*",
            "application/json;q=0",
            "*/*;q=0",
            "application/json;q=0, */*",
            "application/*;q=0.0, text/html",
            "garbage",
            "application/json+ld",
        ],
    )
    def test_json_is_refused_where_it_does_not(self, header: str) -> None:
        assert not accepts(header, {"application/json"})

    def test_one_acceptable_media_type_of_several_is_enough(self) -> None:
        assert accepts("text/csv", {"application/json", "text/csv"})
