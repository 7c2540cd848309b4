"""Everything that the API names has words on the pages, and each state a shape."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from app.datasets.reports.finding_codes import Severity
from app.datasets.tables import VersionState
from app.events.tables import Level
from app.fleet.tables import Cordon, Presence
from app.jobs.curves import MarkKind
from app.jobs.queue.reasons import QueueReason
from app.jobs.states import JobState
from app.models.tables import ModelState
from app.web import words
from app.web.datasets import dataset_words
from app.web.jobs.one_job.event_words import EVENTS, REASONS
from app.web.pages import TEMPLATES
from app.webhooks.tables import DeliveryState, WebhookState
from tests.architecture.sources import ROOT

DOCUMENT: Final = ROOT / "docs" / "schema" / "openapi.json"
CHARTS: Final = ROOT / "app" / "web" / "static" / "charts.js"
STATES: Final = {**words.STATES, **words.OTHER_STATES}
WORDS: Final[Mapping[str, Mapping[str, object]]] = {
    "Change": dataset_words.CHANGES,
    "DeliveryState": STATES,
    "DisabledReason": words.DISABLED,
    "EndReason": REASONS,
    "EventChoice": EVENTS,
    "JobState": words.STATES,
    "Level": STATES,
    "ModelState": STATES,
    "Phase": words.PHASES,
    "Presence": STATES,
    "Request": words.REQUESTS,
    "SendError": words.SEND_ERRORS,
    "Severity": dataset_words.SEVERITIES,
    "VersionState": STATES,
    "WaitingReason": words.WAITING,
    "WebhookState": STATES,
}
"""The words for each enum of the API, by its name in the OpenAPI document."""
WITHOUT_WORDS: Final = {
    "ArtifactKind": "groups of files",
    "ByeReason": "why a stream ended, which live.js reads",
    "ChangeKind": "sentences of jobs/one_job/waiting.html",
    "Code": "the API describes each finding in a sentence",
    "DatasetState": "the state of its newest version",
    "EventOrder": "a parameter",
    "ExportFormat": "a parameter",
    "InstanceRole": "one word already",
    "KeyKind": "one word already",
    "KeyScope": "people type it",
    "MarkKind": "charts.js",
    "MemberRole": "people type it",
    "ModelSource": "not shown",
    "QueueReason": "shown as the job's waiting reason",
    "Readiness": "not shown",
    "Theme": "a form",
    "WaitTarget": "a parameter",
}
"""Enums that need no words, and why."""
DRAWN: Final = (
    *(state.value for kind in (JobState, VersionState, ModelState, Presence) for state in kind),
    *(state.value for kind in (Cordon, WebhookState, DeliveryState, Severity) for state in kind),
)
"""States that a page shows as a shape with a word."""
QUEUED = {
    "state": "queued",
    "waiting_reason": "waiting_for_worker",
    "queue": "night",
    "queue_position": 2,
    "phase": None,
    "request": None,
    "error": None,
}


def enums() -> dict[str, set[str]]:
    """Return the members of each enum of words that the API names."""
    schemas = json.loads(DOCUMENT.read_text())["components"]["schemas"]
    return {
        name: set(schema["enum"])
        for name, schema in schemas.items()
        if "enum" in schema and schema["type"] == "string"
    }


class TestEnums:
    def test_every_enum_of_the_api_has_words_or_a_reason_to_have_none(self) -> None:
        assert enums().keys() == WORDS.keys() | WITHOUT_WORDS.keys()

    @pytest.mark.parametrize("name", WORDS)
    def test_every_member_has_words(self, name: str) -> None:
        shown = {
            each
            for each in enums()[name]
            if not each.endswith("*") and not each.startswith(("dataset.", "epoch.", "webhook."))
        }

        assert shown - WORDS[name].keys() == set()

    def test_every_reason_to_wait_has_short_words(self) -> None:
        assert words.WAITING_IN_SHORT.keys() == words.WAITING.keys()

    @pytest.mark.parametrize("state", dict.fromkeys(DRAWN))
    def test_every_state_has_a_shape_and_its_word(self, state: str) -> None:
        drawn = TEMPLATES.get_template("macros.html").module.st(state)  # type: ignore[attr-defined]

        assert re.search("<(circle|path)", drawn)
        assert STATES[state] in drawn

    @pytest.mark.parametrize("shape", sorted({each.icon for each in EVENTS.values()} | {*Level}))
    def test_every_event_has_a_shape(self, shape: str) -> None:
        drawn = TEMPLATES.get_template("macros.html").module.icon(shape)  # type: ignore[attr-defined]

        assert re.search("<(circle|path)", drawn)

    def test_charts_know_every_mark(self) -> None:
        (rows,) = re.findall(r"const rows = \{(.*?)\}", CHARTS.read_text())

        assert set(re.findall(r"(\w+):", rows)) == {"best", *MarkKind}


class TestShortWords:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({}, "2nd in line"),
            ({"queue_position": 11}, "11th in line"),
            ({"queue_position": 23}, "23rd in line"),
            ({"queue_position": None}, "waits for a slot"),
            ({"waiting_reason": "no_matching_worker"}, "no slot serves night"),
            ({"state": "failed", "error": {"code": "out_of_memory"}}, "out of memory"),
            ({"state": "running", "phase": "training", "request": "stop"}, "training, stops after"),
            ({"state": "succeeded"}, ""),
        ],
    )
    def test_a_row_says_in_short_why_it_is_as_it_is(
        self, change: dict[str, Any], said: str
    ) -> None:
        gone = {"waiting_reason": None, "queue_position": None} if "state" in change else {}

        assert words.short_state_of({**QUEUED, **gone, **change}).startswith(said)


class TestStart:
    @pytest.mark.parametrize(
        ("seconds", "said"), [(0.0, "now"), (0.4, "now"), (95.0, "in 1 min 35 s")]
    )
    def test_an_estimated_start_is_a_time(self, seconds: float, said: str) -> None:
        assert words.start_of({"starts_in_seconds": seconds, "waits_for": "slot"}) == said

    @pytest.mark.parametrize("reason", [*QueueReason])
    def test_a_start_without_an_estimate_has_words_for_each_reason(
        self, reason: QueueReason
    ) -> None:
        said = words.start_of({"starts_in_seconds": None, "waits_for": reason.value})

        assert said == words.UNKNOWN_START[reason]
