"""The generated parts of docs/job-states.md and docs/job-spec.md."""

from collections import defaultdict
from itertools import count
from string import ascii_uppercase
from typing import TYPE_CHECKING

from app.jobs.end_reasons import EndReason
from app.jobs.guards import TRANSITIONS, Guard, Transition
from app.jobs.spec.job_spec import job_spec_json_schema
from app.jobs.spec.overridden_arguments import ROWS
from app.jobs.spec.override_answers import Answer as AnswerOfARow
from app.jobs.spec.override_answers import (
    OnlyWarning,
    OtherAnswer,
    Refused,
    ShownAsItRuns,
)
from app.jobs.spec.refused_arguments import REFUSED_ARGUMENTS
from app.jobs.spec.train_arguments import ALL_TASKS, tasks_of
from app.jobs.states import USER_EVENTS, JobEvent, JobState
from app.models.architectures import ARCHITECTURES, SCALES, TASK_SUFFIXES
from tests.docs.markdown import Field, code, fields_of, table
from tests.docs.transition_phrases import PHRASES

if TYPE_CHECKING:
    from app.jobs.spec.base_model import Refusal

STARTS = "[*] --> queued"
_IN_WORDS = defaultdict(
    lambda: "N", {"architecture": "YOLO11 or YOLOv8", "optimizer": "An optimizer like Adam"}
)
"""Replaces the values of a job in the messages of the table of overridden arguments."""


def letters() -> dict[Transition, str]:
    """Return a letter for each row that changes something: A to Z, then AA, AB and so on."""
    names = (
        "A" * (number // len(ascii_uppercase)) + ascii_uppercase[number % len(ascii_uppercase)]
        for number in count()
    )
    return {row: next(names) for row in TRANSITIONS if not row.changes_nothing}


def diagram() -> str:
    """Return the diagram; arrows between the same two states are merged."""
    arrows: dict[tuple[JobState, JobState], list[str]] = defaultdict(list)
    for row, letter in letters().items():
        arrows[row.source, row.target].append(letter)
    lines = [
        f"{source} --> {target}: {', '.join(names)}" for (source, target), names in arrows.items()
    ]
    return "\n".join(
        ["```mermaid", "stateDiagram-v2", *(f"    {line}" for line in [STARTS, *lines]), "```"]
    )


def transitions() -> str:
    """Return the explanation of every arrow."""
    rows = [
        [
            letter,
            code(row.event),
            row.source,
            "" if row.guard is Guard.ALWAYS else row.guard,
            row.target,
            row.request,
            code(row.logged_as or ""),
            _phrase(row),
        ]
        for row, letter in letters().items()
    ]
    head = ["", "event", "from", "where", "to", "request", "logged as", "meaning"]
    return table(head, rows)


def _phrase(row: Transition) -> str:
    forced = f" ({code(row.forced_reason)})" if row.forced_reason else ""
    return PHRASES[row.event, row.source, row.guard] + forced


def unchanged() -> str:
    """Return the requests that are answered without a change."""
    rows = [
        [
            code(row.event),
            row.source,
            "" if row.guard is Guard.ALWAYS else row.guard,
            PHRASES[row.event, row.source, row.guard],
        ]
        for row in TRANSITIONS
        if row.changes_nothing
    ]
    return table(["event", "state", "where", "because"], rows)


def user_events() -> str:
    """Return the table of users' requests in each state: letters, unchanged, or refused."""
    named = letters()
    rows = [
        [code(event), *(_answer(event, state, named) for state in JobState)]
        for event in USER_EVENTS
    ]
    return table(["", *JobState], rows)


def _answer(event: JobEvent, state: JobState, named: dict[Transition, str]) -> str:
    rows = [row for row in TRANSITIONS if row.event is event and row.source is state]
    return ", ".join(named.get(row, "unchanged") for row in rows) or "409"


def end_reasons() -> str:
    """Return the table of end reasons of an attempt and their consequences."""
    rows = [
        [
            code(reason),
            reason.headline,
            "queued again" if reason.retryable else reason.state,
            "yes" if reason.counted else "",
            "" if reason.kind == "none" else reason.kind,
            "" if reason.exit_code is None else str(reason.exit_code),
            reason.hint,
        ]
        for reason in EndReason
    ]
    head = ["reason", "title", "the job becomes", "counted", "who can act", "exit code", "hint"]
    return table(head, rows)


def spec_fields() -> str:
    """Return the table of the fields of a job except those of `train`."""
    fields = [field for field in _spec() if not field.path.startswith("train.")]
    return table(["field", "type", "default", "range", "meaning"], [_row(f) for f in fields])


def train_fields() -> str:
    """Return the table of the fields of `train`, each with the tasks that it applies to."""
    rows = [
        [*_row(field), _tasks(field.path.removeprefix("train."))]
        for field in _spec()
        if field.path.startswith("train.")
    ]
    return table(["field", "type", "default", "range", "meaning", "tasks"], rows)


def _spec() -> list[Field]:
    schema = job_spec_json_schema()
    return list(fields_of(schema, schema))


def _row(field: Field) -> list[str]:
    name = field.path.removeprefix("train.")
    return [code(name), field.type, field.default, field.range, field.meaning]


def _tasks(name: str) -> str:
    tasks = tasks_of(name)
    return "all" if tasks == ALL_TASKS else ", ".join(sorted(tasks))


def refused_arguments() -> str:
    """Return the arguments of Ultralytics that `train` refuses, each with the reason."""
    names: dict[Refusal, list[str]] = defaultdict(list)
    for name, refusal in REFUSED_ARGUMENTS.items():
        names[refusal].append(code(name))
    rows = [[" ".join(alike), code(it.code), it.message] for it, alike in names.items()]
    return table(["argument", "code", "reason, or what to set instead"], rows)


def overridden_arguments() -> str:
    """Return the arguments that Ultralytics overrides, each with our answer."""
    rows = [
        [
            " ".join(map(code, row.arguments)),
            row.says.format_map(_IN_WORDS),
            f"{row.source.file}:{row.source.line}",
            _answer_to(row.answer),
        ]
        for row in ROWS
    ]
    return table(["argument", "Ultralytics", "source", "here"], rows)


def _answer_to(answer: AnswerOfARow) -> str:
    match answer:
        case Refused(code=name):
            return f"refused: {code(name.replace('_', '-'))}"
        case ShownAsItRuns():
            return "`resolved` shows what runs; warned of"
        case OnlyWarning():
            return "warned of"
        case OtherAnswer(where=where):
            return where


def architectures() -> str:
    """Return the model names that train from scratch, by family and task."""
    rows = [
        [family, task, code(f"{family}{{{','.join(SCALES)}}}{TASK_SUFFIXES[task]}.yaml")]
        for family, task in dict.fromkeys((it.family, it.task) for it in ARCHITECTURES.values())
    ]
    return table(["family", "task", "`model`"], rows)
