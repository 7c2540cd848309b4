"""A FAKE: a process that speaks the trainer's protocol without training, for tests of timing.

`fake_trainer.py SCENARIO [FILE…] JOB_JSON` finishes at the end, or crashes if the scenario ends
with ", then crash". Its checkpoints are a few bytes of text; its final best.pt and best_recall.pt
are copies of the FILEs, if given.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, NoReturn

EPOCHS = 3
CHOSEN_BY_ULTRALYTICS = 12
# By scenario: the only batch that fits, and the epochs that an attempt with another one completes.
MEMORY: dict[str, tuple[int | None, int]] = {
    "run out of memory": (None, 0),
    "run out of memory after an epoch": (None, 1),
    "train with a batch of 8": (8, 0),
    "train with a batch of 8 after an epoch": (8, 1),
}
# By scenario: the checkpoints, by epoch, that cannot be read.
UNREADABLE: dict[str, tuple[int, ...]] = {
    "die once and refuse its checkpoint": (2,),
    "die once and refuse its checkpoints": (1, 2),
}
PHASES = ("preparing", "training", "validating", "finalizing")
CRASHES = ", then crash"
RESULTS: dict[str, object] = {"name": "results.csv", "path": "results.csv", "kind": "table"}
BEST: dict[str, object] = {"name": "best.pt", "path": "weights/best.pt", "kind": "weights"}
BEST_RECALL: dict[str, object] = {
    "name": "best_recall.pt", "path": "weights/best_recall.pt", "kind": "weights", "epoch": 1
}  # fmt: skip


class FakeTrainer:
    def __init__(self, job: dict[str, Any]) -> None:
        batch = job["spec"]["train"]["batch"]
        self.batch_size = batch if batch >= 1 else CHOSEN_BY_ULTRALYTICS
        self.attempt = job["attempt"]
        self.epochs = job["spec"]["train"]["epochs"]
        self.run = Path(job["run_directory"])
        self.resumed = job["resume_from"]
        self.state = job["state_from"]
        self.state_every = job["state_every"]
        self.only_finalizes = job["only_finalize"]
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
        if self.resumed is not None:
            self.say_how_it_resumed()
        self.say("phase", phase="training")
        self.say(
            "started", batches_per_epoch=1, epochs=EPOCHS, first_epoch=self.first_epoch(),
            batch_size=self.batch_size, threads=1, device_name="fake", optimizer="none", lr0=None,
            train_images=4, val_images=2, environment={},
        )  # fmt: skip

    def say_how_it_resumed(self) -> None:
        """Report an exact resume if that epoch has a state; else a plain one, with the reason."""
        epoch = self.first_epoch() - 1
        mode = "plain"
        reason: str | None = "no_state"
        if self.state is not None:
            fits = Path(self.state).read_text() == f"state.pt {epoch}"
            mode, reason = ("exact", None) if fits else ("plain", "does_not_fit")
        self.say("resumed", mode=mode, epoch=epoch, reason=reason, message=reason)

    def batch(self, epoch: int) -> None:
        self.say("batch", epoch=epoch, epochs=EPOCHS, batch=1, batches=1, losses={"box": 1.0},
                 epoch_seconds=0.1, eta_seconds=None)  # fmt: skip

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
        if self.state_every is not None and epoch % self.state_every == 0:
            files["state.pt"] = f"outbox/{epoch}-state.pt"
            (self.run / files["state.pt"]).write_text(f"state.pt {epoch}")
        self.say("epoch", epoch=epoch, epochs=EPOCHS, metrics=metrics, fitness=fitness,
                 best_fitness=fitness, seconds=0.1, optimizer_steps=4, eta_seconds=None,
                 lr={"lr/rest/weight": 0.01},
                 classes={"recall(B)": [fitness, None]})  # fmt: skip
        self.say("checkpoint", epoch=epoch, files=files)

    def fail(self, exit_code: int, **words: object) -> NoReturn:
        self.say("error", **words)
        sys.exit(exit_code)

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
    """Ignore SIGTERM, and start a child in a separate session that ignores it too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    program = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", program], start_new_session=True)


def train(trainer: FakeTrainer, *, until: int = EPOCHS) -> None:
    if trainer.only_finalizes:
        return
    trainer.start()
    for epoch in range(trainer.first_epoch(), until + 1):
        trainer.batch(epoch)
        trainer.epoch(epoch)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_slowly(trainer: FakeTrainer) -> None:
    """Train all epochs of the job, one a second, then wait for a request to leave."""
    leave_politely()
    trainer.start()
    for epoch in range(trainer.first_epoch(), trainer.epochs + 1):
        Event().wait(1)
        print(f"epoch {epoch}", flush=True)  # noqa: T201 -- its log is what it prints
        trainer.batch(epoch)
        trainer.epoch(epoch)
    Event().wait()


def die_once(trainer: FakeTrainer) -> None:
    if trainer.attempt == 1:
        train(trainer, until=2)
        die()
    train(trainer)


def die_after_each_epoch(trainer: FakeTrainer) -> None:
    epoch = trainer.first_epoch()
    train(trainer, until=epoch)
    if epoch < EPOCHS:
        die()


def die_unless_it_only_finalizes(trainer: FakeTrainer) -> None:
    train(trainer, until=trainer.first_epoch())
    if not trainer.only_finalizes:
        die()


def refuse_the_data(trainer: FakeTrainer) -> None:
    trainer.fail(11, code="bad_data", message="No labels.", hint="Add some.")


def diverge(trainer: FakeTrainer) -> None:
    train(trainer)
    amended = {"train": {"lr0": 0.001}}
    sys.stderr.write("worker.trainer.errors.Diverged: The loss exploded.\n")
    trainer.fail(14, code="diverged", message="The loss exploded.", hint="None.", amended=amended)


def refuse_checkpoints(trainer: FakeTrainer, *, epochs: Collection[int]) -> None:
    if trainer.attempt == 1:
        train(trainer, until=2)
        die()
    if trainer.first_epoch() - 1 in epochs:
        trainer.fail(19, code="bad_checkpoint", message="It is cut.", hint="None.")
    train(trainer)


def die_once_while_it_finalizes(trainer: FakeTrainer) -> None:
    train(trainer)
    if trainer.attempt == 1:
        trainer.say("phase", phase="finalizing")
        die()


def lose_the_gpu_once(trainer: FakeTrainer) -> None:
    if trainer.attempt == 1:
        train(trainer, until=1)
        trainer.fail(18, code="gpu_lost", message="The GPU was lost.", hint="Look at it.")
    train(trainer)


def train_with_little_memory(trainer: FakeTrainer, *, fitting: int | None, epochs: int) -> None:
    """Train if the batch fits; else run out of memory, at once or after one more epoch."""
    if trainer.batch_size != fitting:
        train(trainer, until=trainer.first_epoch() - 1 + epochs)
        trainer.fail(13, code="out_of_memory", message="Memory ran out.", hint="Use less.")
    train(trainer)


def leave_slowly_once(trainer: FakeTrainer) -> None:
    """Train an epoch, wait for a request to leave, report it, and leave slowly."""
    if trainer.attempt == 1:
        asked = Event()
        signal.signal(signal.SIGTERM, lambda *_: asked.set())
        train(trainer, until=1)
        asked.wait()
        trainer.say("notice", code="leaving", message="SIGTERM came.")
        Event().wait(2)
        sys.exit(10)
    train(trainer)


def hang_after_an_epoch(trainer: FakeTrainer) -> None:
    leave_politely()
    train(trainer, until=trainer.first_epoch())
    Event().wait()


def hang_stubbornly(trainer: FakeTrainer) -> None:
    stay_stubbornly()
    train(trainer, until=1)
    Event().wait()


def hang_in(trainer: FakeTrainer, *, phase: str) -> None:
    """Enter the phase and stay in it; report SIGUSR1 when it arrives."""
    leave_politely()
    said = {"code": "told_to_finish", "message": "SIGUSR1 came."}
    signal.signal(signal.SIGUSR1, lambda *_: trainer.say("notice", **said))
    trainer.say("phase", phase="preparing")
    if phase != "preparing":
        train(trainer, until=EPOCHS if phase == "finalizing" else trainer.first_epoch())
        trainer.say("phase", phase=phase)
    Event().wait()


ACTS: dict[str, Callable[[FakeTrainer], None]] = {
    "train": train,
    "train an epoch a second": train_slowly,
    "train an epoch": lambda trainer: train(trainer, until=1),
    "refuse the data": refuse_the_data,
    "diverge": diverge,
    "die at once": lambda _: die(),
    "die once": die_once,
    "die once while it finalizes": die_once_while_it_finalizes,
    "die after each epoch": die_after_each_epoch,
    "die after an epoch, or only finalize": die_unless_it_only_finalizes,
    "lose the GPU once": lose_the_gpu_once,
    "leave slowly once": leave_slowly_once,
    "hang after an epoch": hang_after_an_epoch,
    "hang stubbornly": hang_stubbornly,
    **{f"hang in {phase}": partial(hang_in, phase=phase) for phase in PHASES},
    **{name: partial(refuse_checkpoints, epochs=epochs) for name, epochs in UNREADABLE.items()},
    **{
        name: partial(train_with_little_memory, fitting=fitting, epochs=epochs)
        for name, (fitting, epochs) in MEMORY.items()
    },
}


def main() -> None:
    scenario, *made, job_file = sys.argv[1:]
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # replaced before the first event, as promised
    trainer = FakeTrainer(json.loads(Path(job_file).read_text()))
    sys.stdout.buffer.write(b"line of the log \xff\n")
    sys.stdout.flush()
    ACTS[scenario.removesuffix(CRASHES)](trainer)
    if scenario.endswith(CRASHES):  # the quickest final end: no weights are proven
        os.kill(os.getpid(), signal.SIGSEGV)
    trainer.finish(made)


if __name__ == "__main__":
    main()
