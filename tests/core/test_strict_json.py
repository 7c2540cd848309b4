"""Accepted and refused JSON."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BadRequest
from app.core.strict_json import MAX_ELEMENTS, DuplicateKey, InvalidJson, parse_json

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SIGNS = [bytes([sign]) for sign in b'{}[],:"1- ']
PARTS = [b"\\", b"\\ud800", b"e9", b"NaN", b"tru", b'"a"', b"null", b"Infinity", b"[" * 2000]
NO_TEXT = [b"\xff", b"\xef\xbb\xbf", b"\x00"]
PIECES = st.sampled_from([*SIGNS, *PARTS, *NO_TEXT])
few = settings(max_examples=60, deadline=None)


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

    @pytest.mark.parametrize("element", [b"[]", b"{}", b"0.1", b'"a,b"', b'{"a":1}'])
    def test_a_document_of_too_many_elements_is_refused(self, element: bytes) -> None:
        with pytest.raises(InvalidJson, match="elements"):
            parse_json(b"[" + b",".join([element] * (MAX_ELEMENTS + 1)) + b"]")

    def test_a_document_of_as_many_elements_as_allowed_is_read(self) -> None:
        assert len(parse_json(b"[" + b",".join([b"0"] * MAX_ELEMENTS) + b"]")) == MAX_ELEMENTS


class TestLaws:
    @few
    @given(DOCUMENTS)
    def test_every_document_is_read_as_it_was_written(self, document: object) -> None:
        assert parse_json(json.dumps(document).encode()) == document

    @few
    @given(st.binary() | st.lists(PIECES, max_size=30).map(b"".join))
    def test_any_bytes_are_a_document_or_refused(self, body: bytes) -> None:
        try:
            parse_json(body)
        except BadRequest:
            return
        body.decode("utf-8")

    @few
    @given(
        st.dictionaries(st.text(), SCALARS, min_size=1, max_size=5), st.integers(0, 4), DOCUMENTS
    )
    def test_an_object_with_a_key_twice_is_refused_at_any_depth(
        self, pairs: dict[str, object], depth: int, other: object
    ) -> None:
        repeated = [*pairs.items(), (next(iter(pairs)), other)]
        inner = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in repeated)

        with pytest.raises(DuplicateKey):
            parse_json(('[{"a":' * depth + "{" + inner + "}" + "}]" * depth).encode())
