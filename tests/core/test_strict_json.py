"""Accepted and refused JSON."""

import math

import pytest

from app.core.strict_json import DuplicateKey, InvalidJson, parse_json


class TestParseJson:
    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b'\xef\xbb\xbf{"a": 1}', b'"\xff"', b"[" * 100_000, b"1" * 5_000, b"{'a': 1}"],
        ids=["empty", "cut", "bom", "not-utf-8", "deep", "long-number", "single-quotes"],
    )
    def test_text_that_is_not_json_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidJson):
            parse_json(body)

    def test_a_key_named_twice_is_refused(self) -> None:
        with pytest.raises(DuplicateKey):
            parse_json(b'{"a": 1, "b": {"c": 1, "c": 2}}')

    def test_the_refusal_does_not_repeat_the_body(self) -> None:
        with pytest.raises(InvalidJson) as refusal:
            parse_json(b'{"password": "hunter2"')

        assert "hunter2" not in refusal.value.detail

    def test_a_number_that_is_not_finite_is_left_to_validation(self) -> None:
        document = parse_json(b'{"a": NaN, "b": 1e999}')

        assert math.isnan(document["a"])
        assert math.isinf(document["b"])
