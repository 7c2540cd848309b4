"""Every operationId is a verb and a noun: generators make function names of them."""

import re
from collections import Counter
from typing import Final

import pytest

from tests.api.document.openapi_walk import operations

pytestmark = pytest.mark.unit

VERBS: Final = frozenset(
    {
        *("read", "list", "find", "compare", "poll", "stream", "download", "export"),
        *("create", "submit", "upload", "append", "send", "resend"),
        *("change", "set", "rotate", "use", "act"),
        *("delete", "remove", "revoke"),
        *("cancel", "pause", "resume", "stop", "retry", "restore", "clone", "extend"),
        *("validate", "parse", "confirm", "refuse"),
        *("drain", "cordon", "uncordon"),
    }
)
"""A new operation uses one of these, or adds a verb that says what none of these says."""


class TestOperationIds:
    def test_every_id_is_a_verb_and_a_noun_in_snake_case(self) -> None:
        style = re.compile(rf"({'|'.join(sorted(VERBS))})(_[a-z]+)+")

        others = [each.id for each in operations() if not style.fullmatch(each.id)]

        assert others == []

    def test_every_verb_is_used(self) -> None:
        used = {each.id.partition("_")[0] for each in operations()}

        assert used >= VERBS

    def test_no_id_is_used_twice(self) -> None:
        counts = Counter(each.id for each in operations())

        assert [name for name, count in counts.items() if count > 1] == []

    def test_every_list_that_has_pages_is_read_by_list(self) -> None:
        pages = [
            each.id
            for each in operations()
            for status, _, media in each.successes()
            if status == "200" and media.get("schema", {}).get("$ref", "").endswith("Page")
        ]

        assert [name for name in pages if not name.startswith(("list_", "compare_", "poll_"))] == []
