"""What has happened to a job: events with runs of epochs between them, and attempts to scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from app.web.formats import duration, number, short_metric
from app.web.jobs.one_job.event_words import EVENTS, REASONS, by, epoch_words, title_of

STRIP_WIDTH: Final = 1000
THINNEST: Final = 2
EPOCH: Final = "epoch.finished"
LEVEL_ICONS: Final = {"warning": "warning", "error": "error"}


@dataclass(frozen=True)
class ShownEvent:
    """An event, or a run of epochs.

    Attributes:
        at: when it happened; of a run, when its last epoch ended.
        title: what happened.
        text: details.
        icon: a shape of `macros.html`.
        level: of the event.
    """

    at: str
    title: str
    text: str
    icon: str = "info"
    level: str = "info"


@dataclass(frozen=True)
class AttemptRow:
    """An attempt as a row of a table, in words."""

    number: int
    worker: str
    started_at: str
    took: str
    epochs: str
    began_from: str
    ended: str


@dataclass(frozen=True)
class AttemptSpan:
    """A part of the strip of attempts: an attempt, or the time between two."""

    x: float
    width: float
    is_attempt: bool


def happened(
    event: Mapping[str, Any], workers: Mapping[int, str], metric: str | None
) -> ShownEvent:
    """Return an event in words.

    Args:
        event: of the job.
        workers: names of the slots of its attempts.
        metric: that chooses best.pt.
    """
    type_, data = event["type"], event["data"]
    if type_ == EPOCH:
        title, text, icon = f"Epoch {data['epoch']}", epoch_words(data, metric), "info"
    else:
        known = EVENTS.get(type_)
        title = title_of(type_, data)
        named = {**data, "worker_name": workers.get(data.get("attempt", 0))}
        text = known.text(named) if known else ""
        icon = known.icon if known else LEVEL_ICONS.get(event["level"], "info")
    return ShownEvent(event["created_at"], title, text, icon, event["level"])


def with_epochs(
    events: Sequence[ShownEvent],
    metrics: Mapping[str, Any],
    metric: str | None,
    *,
    before: str | None,
    is_oldest: bool,
) -> list[ShownEvent]:
    """Return events, the newest first, with the epochs between them folded into runs.

    Args:
        events: the newest first.
        metrics: the epochs of the job.
        metric: that chooses best.pt.
        before: when the last event of the page before happened; None: there is no such page.
        is_oldest: whether the last event is the job's first one. Otherwise epochs before it
            belong to the next page.
    """
    values = metrics["series"].get(metric) or [None] * len(metrics["epochs"])
    columns = (metrics["epochs"], metrics["ended_at"], metrics["seconds"], values)
    epochs = [EndedEpoch(*row) for row in zip(*columns, strict=True)]
    if before is not None:
        epochs = [epoch for epoch in epochs if _time(epoch.at) <= _time(before)]
    found: list[ShownEvent] = []
    for event in events:
        later = [epoch for epoch in epochs if _time(epoch.at) > _time(event.at)]
        epochs = epochs[: len(epochs) - len(later)]
        found += [*_run(later, metric), event]
    return [*found, *_run(epochs, metric)] if is_oldest else found


@dataclass(frozen=True)
class EndedEpoch:
    """An epoch, when it ended, the running time until then, and its value of a metric."""

    number: int
    at: str
    seconds: float
    value: float | None


def _run(epochs: Sequence[EndedEpoch], metric: str | None) -> list[ShownEvent]:
    if not epochs:
        return []
    first, last = epochs[0], epochs[-1]
    value = ""
    if metric and last.value is not None:
        value = f"{short_metric(metric)} {number(last.value)}"
    if first is last:
        return [ShownEvent(last.at, f"Epoch {last.number}", value)]
    took = duration(last.seconds - first.seconds)
    text = f"{took} from the first to the last" + (f"; {value} at the end" if value else "")
    return [ShownEvent(last.at, f"Epochs {first.number} to {last.number}", text)]


def attempt_rows(attempts: Sequence[Mapping[str, Any]]) -> list[AttemptRow]:
    """Return the attempts, the oldest first, in words."""
    before = [None, *attempts]
    return [_attempt_row(each, last) for each, last in zip(attempts, before, strict=False)]


def _attempt_row(attempt: Mapping[str, Any], before: Mapping[str, Any] | None) -> AttemptRow:
    end = _time(attempt["ended_at"]) if attempt["ended_at"] else datetime.now(UTC)
    return AttemptRow(
        number=attempt["number"],
        worker=attempt["worker_name"] or attempt["worker"],
        started_at=attempt["started_at"],
        took=duration((end - _time(attempt["started_at"])).total_seconds()),
        epochs=_epochs(attempt),
        began_from=_began_from(attempt, before),
        ended=_ended(attempt),
    )


def _epochs(attempt: Mapping[str, Any]) -> str:
    first, last = attempt["first_epoch"], attempt["last_epoch"]
    if first is None:
        return ""
    if last is None:
        return f"from {first}" if attempt["ended_at"] is None else ""
    return str(first) if first == last else f"{first} to {last}"


def _began_from(attempt: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    epoch = attempt["resumed_from"]
    if epoch is None:
        return "the start" if attempt["first_epoch"] is not None else ""
    is_exact = attempt["resumed"] == "exact"
    source = f"training state of epoch {epoch}, exactly" if is_exact else f"epoch {epoch}"
    repeated = ((before or {}).get("last_epoch") or epoch) - epoch
    if repeated <= 0:
        return source
    return f"{source}; {repeated} epoch{'s' if repeated > 1 else ''} trained again"


def _ended(attempt: Mapping[str, Any]) -> str:
    reason, who = attempt["end_reason"], by(attempt["actor"])
    if reason is None:
        return ""
    if reason == "succeeded" and who:
        return f"stopped {who}, result kept"
    return f"{REASONS[reason]} {who}".strip()


def strip_of(attempts: Sequence[Mapping[str, Any]]) -> list[AttemptSpan]:
    """Return the attempts and the waits between them to scale, on a line of `STRIP_WIDTH`."""
    if not attempts:
        return []
    now = datetime.now(UTC)
    spans = [
        (_time(each["started_at"]), _time(each["ended_at"]) if each["ended_at"] else now)
        for each in attempts
    ]
    start, end = spans[0][0], spans[-1][1]
    whole = max(1.0, (end - start).total_seconds())

    def stretch(first: datetime, last: datetime, *, is_attempt: bool) -> AttemptSpan:
        x = STRIP_WIDTH * (first - start).total_seconds() / whole
        width = STRIP_WIDTH * (last - first).total_seconds() / whole
        return AttemptSpan(round(x, 1), round(max(THINNEST, width), 1), is_attempt)

    waits = [stretch(before[1], after[0], is_attempt=False) for before, after in pairwise(spans)]
    return [*waits, *(stretch(*span, is_attempt=True) for span in spans)]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
