"""A FAKE: a trainer that attacks its supervisor. `hostile_trainer.py ATTACK VICTIM JOB_JSON`."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NO_NUMBERS: dict[str, Any] = {"metrics": {}, "fitness": None, "best_fitness": None}


class Trainer:
    def __init__(self, job: dict[str, Any], victim: Path) -> None:
        self.run = Path(job["run_directory"])
        self.victim = victim
        self.events = os.fdopen(int(os.environ["TRAINYARD_EVENTS_FD"]), "wb", buffering=0)
        self.seq = 0
        (self.run / "good").write_text("good")

    @property
    def foreign(self) -> str:
        return os.path.relpath(self.victim, self.run)

    def say(self, type_: str, **fields: object) -> None:
        self.seq += 1
        self.events.write(json.dumps({"seq": self.seq, "type": type_, **fields}).encode() + b"\n")

    def checkpoint(self, path: str, *, epoch: int = 1) -> None:
        self.say("epoch", epoch=epoch, epochs=3, seconds=1, optimizer_steps=1, eta_seconds=None,
                 **NO_NUMBERS)  # fmt: skip
        self.say("checkpoint", epoch=epoch, files={"last.pt": path})

    def final(self, *artifacts: tuple[str, str, str]) -> None:
        named = [{"name": name, "path": path, "kind": kind} for name, path, kind in artifacts]
        self.say("final", epochs_done=1, best_epoch=None, best_fitness=None, metrics={},
                 artifacts=named)  # fmt: skip

    def result(self, name: str, kind: str = "table") -> None:
        self.final(("result", name, kind))


def name_a_link(trainer: Trainer, *, kind: str = "table") -> None:
    (trainer.run / "link").symlink_to(trainer.victim)
    trainer.result("link", kind)


def name_a_file_behind_a_link(trainer: Trainer) -> None:
    (trainer.run / "folder").symlink_to(trainer.victim.parent)
    trainer.result(f"folder/{trainer.victim.name}")


def name_a_second_name(trainer: Trainer) -> None:
    (trainer.run / "second").hardlink_to(trainer.victim)
    trainer.result("second")


def name_a_pipe(trainer: Trainer, *, kind: str = "weights") -> None:
    os.mkfifo(trainer.run / "pipe")
    trainer.result("pipe", kind)


def name_a_sparse_file(trainer: Trainer) -> None:
    with (trainer.run / "sparse").open("wb") as file:
        file.truncate(2**42)
    trainer.result("sparse", "weights")


def hand_over_a_pipe(trainer: Trainer) -> None:
    os.mkfifo(trainer.run / "pipe")
    trainer.checkpoint("pipe")


def replace_its_folder(trainer: Trainer) -> None:
    trainer.run.rename(trainer.run.with_name("away"))
    trainer.run.symlink_to(trainer.victim.parent)
    trainer.checkpoint(trainer.victim.name)


def send_no_events(trainer: Trainer) -> None:
    while True:
        trainer.events.write(b"no event\n" * 1000)


def send_one_endless_line(trainer: Trainer) -> None:
    while True:
        trainer.events.write(b"x" * 2**20)


def send_endless_notes(trainer: Trainer) -> None:
    for number in range(1500):
        trainer.say("notice", code="a", message="\0" * 50, data={"\0": number})
    trainer.result("good")


def send_an_epoch_twice(trainer: Trainer) -> None:
    for _ in range(2):
        trainer.checkpoint("good")


def send_a_huge_epoch(trainer: Trainer) -> None:
    trainer.checkpoint("good", epoch=2**31 - 1)


def plant_links(trainer: Trainer) -> None:
    """Plant links in the place of files that the supervisor will write."""
    root = trainer.run.parent
    for name in ("log-1", "train.log", "per_class.csv", "verdict.json", "portability"):
        (root / name).symlink_to(trainer.victim)
    (root / "trainer.log").unlink()
    os.mkfifo(root / "trainer.log")
    trainer.result("good")


def leave_a_deep_tree(trainer: Trainer) -> None:
    at = os.open(trainer.run, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    (trainer.run / "locked" / "in").mkdir(parents=True)
    (trainer.run / "locked").chmod(0)
    trainer.result("good")


ATTACKS: dict[str, Callable[[Trainer], None]] = {
    "a result outside": lambda trainer: trainer.result(trainer.foreign),
    "an absolute result": lambda trainer: trainer.result(str(trainer.victim)),
    "a checkpoint outside": lambda trainer: trainer.checkpoint(trainer.foreign),
    "an absolute checkpoint": lambda trainer: trainer.checkpoint(str(trainer.victim)),
    "a checkpoint that is missing": lambda trainer: trainer.checkpoint("missing"),
    "a state outside": lambda trainer: trainer.say("state", epoch=1, file=trainer.foreign),
    "a link": name_a_link,
    "a plot that is a link": lambda trainer: name_a_link(trainer, kind="plot"),
    "a file behind a link": name_a_file_behind_a_link,
    "a second name": name_a_second_name,
    "a pipe": name_a_pipe,
    "a plot that is a pipe": lambda trainer: name_a_pipe(trainer, kind="plot"),
    "a sparse file": name_a_sparse_file,
    "a checkpoint that is a pipe": hand_over_a_pipe,
    "another folder": replace_its_folder,
    "no events": send_no_events,
    "one endless line": send_one_endless_line,
    "endless notes": send_endless_notes,
    "an epoch twice": send_an_epoch_twice,
    "a huge epoch": send_a_huge_epoch,
    "planted links": plant_links,
    "a deep tree": leave_a_deep_tree,
    "thousands of results": lambda trainer: trainer.final(*[("a", "good", "plot")] * 5000),
}


def main() -> None:
    attack, victim, job_file = sys.argv[1:]
    trainer = Trainer(json.loads(Path(job_file).read_text()), Path(victim))
    ATTACKS[attack](trainer)


if __name__ == "__main__":
    main()
