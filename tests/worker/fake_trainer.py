"""A FAKE: a process that speaks the trainer's protocol and trains nothing, for tests of timing.

`fake_trainer.py SCENARIO [FILE…] JOB_JSON`; what it pretends to have made are a few bytes of text,
and FILEs in the end: best.pt and best_recall.pt.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any

EPOCHS = 3
CHOSEN_BY_ULTRALYTICS = 12
# By scenario: the one batch that fits, and the epochs that an attempt with another one gets done.
MEMORY: dict[str, tuple[int | None, int]] = {
    "run out of memory": (None, 0),
    "run out of memory after an epoch": (None, 1),
    "finish with a batch of 8": (8, 0),
    "finish with a batch of 8 after an epoch": (8, 1),
}
RESULTS: dict[str, object] = {"name": "results.csv", "path": "results.csv", "kind": "table"}
BEST: dict[str, object] = {"name": "best.pt", "path": "weights/best.pt", "kind": "weights"}
BEST_RECALL: dict[str, object] = {
    "name": "best_recall.pt", "path": "weights/best_recall.pt", "kind": "weights", "epoch": 1
}  # fmt: skip


class FakeTrainer:
    def __init__(self, job: dict[str, Any]) -> None:
        batch = job["spec"]["train"]["batch"]
        self.batch_size = batch if batch >= 1 else CHOSEN_BY_ULTRALYTICS
        self.run = Path(job["run_directory"])
        self.resumed = job["resume_from"]
        self.events = os.fdopen(int(os.environ["TRAINYARD_EVENTS_FD"]), "wb", buffering=0)
        self.seq = 0
        (self.run / "outbox").mkdir()
        (self.run / "weights").mkdir(exist_ok=True)

    def say(self, type_: str, **fields: object) -> None:
        self.seq += 1
        event = {"seq": self.seq, "at": time.time(), "type": type_, **fields}
        self.events.write(json.dumps(event).encode() + b"\n")

    def first_epoch(self) -> int:
        if self.resumed is None:
            return 1
        return int(Path(self.resumed).read_text().split()[1]) + 1

    def start(self) -> None:
        self.say("phase", phase="training")
        self.say(
            "started", batches_per_epoch=1, epochs=EPOCHS, first_epoch=self.first_epoch(),
            batch_size=self.batch_size, threads=1, device_name="fake", optimizer="none", lr0=None,
            train_images=4, val_images=2,
        )  # fmt: skip

    def batch(self, epoch: int) -> None:
        self.say("batch", epoch=epoch, batch=1, batches=1, losses={"box": 1.0}, epoch_seconds=0.1,
                 eta_seconds=None)  # fmt: skip

    def epoch(self, epoch: int) -> None:
        fitness = epoch / 10
        metrics = {"train/box_loss": 1 / epoch, "metrics/mAP50-95(B)": fitness}
        with (self.run / "results.csv").open("a") as table:
            table.write(f"{epoch},{fitness}\n")
        files = {}
        for name in ("last.pt", "best.pt"):
            files[name] = f"outbox/{epoch}-{name}"
            (self.run / files[name]).write_text(f"{name} {epoch} of {os.getpid()}")
        files["results.csv"] = f"outbox/{epoch}-results.csv"
        (self.run / files["results.csv"]).write_bytes((self.run / "results.csv").read_bytes())
        self.say("epoch", epoch=epoch, metrics=metrics, fitness=fitness, best_fitness=fitness,
                 seconds=0.1, optimizer_steps=4, lr={"lr/rest/weight": 0.01},
                 classes={"recall(B)": [fitness, None]})  # fmt: skip
        self.say("checkpoint", epoch=epoch, files=files)

    def finish(self, made: list[str]) -> None:
        (self.run / "weights" / "best.pt").write_text("best of all")
        weights = [BEST, BEST_RECALL][: max(1, len(made))]
        for file, artifact in zip(made, weights, strict=False):
            shutil.copyfile(file, self.run / str(artifact["path"]))
        self.say("phase", phase="finalizing")
        self.say(
            "final", epochs_done=EPOCHS, best_epoch=EPOCHS, best_fitness=0.3,
            metrics={"metrics/mAP50-95(B)": 0.3}, artifacts=[RESULTS, *weights],
        )  # fmt: skip


def leave_politely() -> None:
    def leave(_signum: int, _frame: object) -> None:
        sys.exit(10)

    signal.signal(signal.SIGTERM, leave)


def stay_stubbornly() -> None:
    """Ignore SIGTERM, and have a child with a session of its own that does so, too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", program], start_new_session=True)


def train(trainer: FakeTrainer, *, until: int = EPOCHS) -> None:
    trainer.start()
    for epoch in range(trainer.first_epoch(), until + 1):
        trainer.batch(epoch)
        trainer.epoch(epoch)


def die_once(trainer: FakeTrainer) -> None:
    if trainer.resumed is None:
        train(trainer, until=2)
        os.kill(os.getpid(), signal.SIGKILL)


def train_with_little_memory(trainer: FakeTrainer, scenario: str) -> None:
    """Train if the batch fits; else run out of memory, at once or after an epoch more."""
    fitting, epochs = MEMORY[scenario]
    if trainer.batch_size == fitting:
        train(trainer)
        return
    train(trainer, until=trainer.first_epoch() - 1 + epochs)
    trainer.say("error", code="out_of_memory", message="Memory ran out.", hint="Use less.")
    sys.exit(13)


def end_badly(trainer: FakeTrainer, scenario: str) -> None:
    if scenario == "crash":
        train(trainer, until=1)
        os.kill(os.getpid(), signal.SIGSEGV)
    trainer.say("error", code="bad_data", message="No labels.", hint="Add some.")
    sys.exit(11)


def train_unless_told(trainer: FakeTrainer) -> None:
    """Train an epoch and die, or nothing where SIGUSR1 comes before the training begins."""
    told = Event()
    signal.signal(signal.SIGUSR1, lambda *_: told.set())
    trainer.say("phase", phase="preparing")
    train(trainer, until=trainer.first_epoch() - told.wait(3))
    if not told.is_set():
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    scenario, *made, job_file = sys.argv[1:]
    trainer = FakeTrainer(json.loads(Path(job_file).read_text()))
    sys.stdout.buffer.write(b"line of the log \xff\n")
    sys.stdout.flush()
    match scenario:
        case "finish":
            train(trainer)
            trainer.finish(made)
        case "hang after an epoch":
            leave_politely()
            train(trainer, until=trainer.first_epoch())
            Event().wait()
        case "hang stubbornly":
            stay_stubbornly()
            train(trainer, until=1)
            Event().wait()
        case "die once, then finish":
            die_once(trainer)
            train(trainer)
            trainer.finish(made)
        case "finish at once when told":
            train_unless_told(trainer)
            trainer.finish(made)
        case "crash" | "refuse the data":
            end_badly(trainer, scenario)
        case _:
            train_with_little_memory(trainer, scenario)
            trainer.finish(made)


if __name__ == "__main__":
    main()
