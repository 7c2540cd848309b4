"""What the events of a job and the ends of its attempts are called.

A test walks the types of events and the end reasons that the API names: each has words here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.web.formats import number, short_metric

Data = Mapping[str, Any]


@dataclass(frozen=True)
class EventWords:
    """How events of a type are shown: a title, a shape, and the words beside the title."""

    title: str
    icon: str
    text: Callable[[Data], str]


REASONS: Final = {
    "succeeded": "the training succeeded",
    "cancelled": "cancelled",
    "paused": "paused",
    "bad_data": "the dataset cannot be used",
    "bad_spec": "the spec cannot be trained",
    "bad_weights": "the weights to start from cannot be used",
    "out_of_memory": "memory ran out",
    "diverged": "the training diverged",
    "trainer_crashed": "the training process crashed",
    "trainer_bug": "the training process raised an exception",
    "trainer_killed": "the training process was killed",
    "worker_lost": "the worker was lost",
    "worker_drained": "the worker was shut down",
    "lease_lost": "the worker lost the database",
    "restarts_exhausted": "all restarts are used up",
    "timeout": "the time limit was reached",
    "nothing_to_keep": "there was no result to keep",
    "disk_full": "a disk is full",
    "not_portable": "the weights do not run with stock Ultralytics",
    "gpu_lost": "the GPU was lost",
    "bad_checkpoint": "a checkpoint cannot be read",
    "state_lost": "the training state is gone",
}


def by(actor: Mapping[str, str] | None) -> str:
    """Return who did something, such as `by ada`; empty if no person did."""
    if not actor:
        return ""
    return f"by {actor['user']}" if actor.get("user") else f"by the key “{actor.get('key')}”"


def _who(data: Data) -> str:
    return by(data.get("actor"))


def _submitted(data: Data) -> str:
    continues = f"continues another job after epoch {data['epoch']}" if "extends" in data else ""
    return _joined(_who(data), continues)


def _started(data: Data) -> str:
    return f"attempt {data['attempt']} on {data.get('worker_name') or data.get('worker')}"


def _waits(data: Data) -> str:
    return _joined(_who(data), _reason(data), _continues(data))


def _ended(data: Data) -> str:
    return _joined(_who(data), _reason(data), data.get("message", ""))


def _reason(data: Data) -> str:
    reason = data.get("reason")
    return "" if reason in {None, "paused", "cancelled", "succeeded"} else REASONS[reason]


def _continues(data: Data) -> str:
    epoch = data.get("resume_epoch")
    return "" if epoch is None else f"continues after epoch {epoch}"


def _halved(data: Data) -> str:
    return f"from {data.get('from')} to {data.get('to')}, since memory ran out"


def _changed(data: Data) -> str:
    return _joined(_who(data), ", ".join(data.get("fields", [])))


def _training_began(data: Data) -> str:
    parts = [f"epoch {data.get('first_epoch')}"]
    if "train_images" in data:
        parts.append(f"{data['train_images']} + {data.get('val_images')} images")
    if data.get("optimizer"):
        parts.append(f"{data['optimizer']}, lr0 {data.get('lr0')}")
    return ", ".join([*parts, f"on {data.get('device_name')}"])


def _dropped(data: Data) -> str:
    return f"{data['first_epoch']} to {data['last_epoch']}; they are trained again"


def _message(data: Data) -> str:
    return str(data.get("message", ""))


def _damaged(data: Data) -> str:
    return f"of epoch {data.get('epoch')}: {data.get('reason')}"


def _exact(data: Data) -> str:
    return f"from the training state of epoch {data.get('epoch')}, as if it had never stopped"


def _plain(data: Data) -> str:
    return _joined(f"from epoch {data.get('epoch')}", _message(data))


def _nothing(_: Data) -> str:
    return ""


EVENTS: Final[Mapping[str, EventWords]] = {
    "job.submitted": EventWords("Submitted", "info", _submitted),
    "job.started": EventWords("Started", "live", _started),
    "job.succeeded": EventWords("Succeeded", "succeeded", _ended),
    "job.failed": EventWords("Failed", "failed", _ended),
    "job.cancelled": EventWords("Cancelled", "cancelled", _ended),
    "job.paused": EventWords("Paused", "paused", _waits),
    "job.resumed": EventWords("Resumed", "queued", _waits),
    "job.retried": EventWords("Retried", "queued", _waits),
    "job.requeued": EventWords("Queued again", "queued", _waits),
    "job.batch_halved": EventWords("Batch halved", "queued", _halved),
    "job.changed": EventWords("Changed", "info", _changed),
    "job.cancel_requested": EventWords("Cancel requested", "info", _who),
    "job.pause_requested": EventWords("Pause requested", "info", _who),
    "job.pause_withdrawn": EventWords("Pause withdrawn", "info", _who),
    "job.stop_requested": EventWords("Stop requested", "info", _who),
    "job.trashed": EventWords("Moved to the trash", "info", _who),
    "job.restored": EventWords("Restored from the trash", "info", _who),
    "epochs.dropped": EventWords("Epochs dropped", "info", _dropped),
    "trainer.started": EventWords("Training began", "info", _training_began),
    "trainer.finished": EventWords("Training ended", "info", _nothing),
    "trainer.notice": EventWords("", "info", _message),
    "trainer.warning": EventWords("", "warning", _message),
    "checkpoint.damaged": EventWords("Checkpoint damaged", "warning", _damaged),
    "resume.exact": EventWords("Goes on exactly", "info", _exact),
    "resume.plain": EventWords("Goes on", "warning", _plain),
}
"""Notices and warnings have their code as title. Epochs have `epoch_words`."""


def title_of(type_: str, data: Data) -> str:
    """Return the title of an event; of a type without words, its name."""
    known = EVENTS.get(type_)
    if known and known.title:
        return known.title
    text = str(data.get("code") or type_.rpartition(".")[2]).replace("_", " ")
    return text[:1].upper() + text[1:]


def epoch_words(data: Data, metric: str | None) -> str:
    """Return the words beside a finished epoch: its value of the metric that chooses best.pt."""
    value = (data.get("metrics") or {}).get(metric)
    shown = "" if metric is None or value is None else f"{short_metric(metric)} {number(value)}"
    return _joined(shown, "the best so far" if data.get("best") else "")


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
