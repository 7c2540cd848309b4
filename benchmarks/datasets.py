"""Measure the verification of a dataset beside the least that reads it: unzip, hash, decode.

Both sides read the same zip in processes of their own. The plain side is `unzip`, `sha256sum` of
every file, and one `cv2.imdecode` an image; ours is the verification process, which also audits the
archive, judges every label and writes the pack. Budgets are for CPU seconds, which other work on
the machine changes least, and for the memory of the verification.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from app.datasets.reports.report import REPORT_NAME, Report, VerificationRequest
from benchmarks.running_server import (
    ROOT,
    Failed,
    clean_environment,
    compile_sources,
    temporary_folder,
)
from benchmarks.statistics_of_pairs import ratio_of_means, table

MEGABYTES = 400
TINY_IMAGES = 20_000
ROUNDS = 2
PHOTO_SIDE, TINY_SIDE = 1024, 64
DRAWN = 24
"""Pictures that are drawn; their copies differ in a comment, so that no two files are equal."""
COARSENESS = 8
QUALITY = 90
LARGE_BUDGET, TINY_BUDGET = 1.3, 2.0
MEMORY_BUDGET_MIB = 16
MEMORY_PART = 4
"""The memory at the size that was asked for is compared with that at this part of it."""

BOXES = b"0 0.5 0.5 0.25 0.25\n1 0.3 0.3 0.125 0.125\n"
DATA_YAML = b"train: images/train\nval: images/val\nnames: [disc, ring]\n"
VAL_EVERY = 5
MB = 1_000_000
KIB_PER_MIB = 1024
DECODER = Path(__file__).with_name("plain_decoding.py")


@dataclass(frozen=True)
class Cost:
    """What processes took: CPU and wall seconds, and the memory of the largest."""

    cpu: float
    wall: float
    peak_mib: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        peak = max(self.peak_mib, other.peak_mib)
        return Cost(self.cpu + other.cpu, self.wall + other.wall, peak)


@dataclass(frozen=True)
class Case:
    """One dataset to verify and the budget of the ratio of CPU times."""

    name: str
    archive: Path
    budget: float


def main() -> None:
    """Measure and print; the exit status reports only whether the measurement succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help="of photographs")
    parser.add_argument("--tiny", type=int, default=TINY_IMAGES, help="number of tiny images")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="pairs of there and back")
    asked = parser.parse_args()
    compile_sources()
    with temporary_folder() as folder:
        size = asked.megabytes * MB
        large = a_dataset(folder / "large.zip", PHOTO_SIDE, size_bytes=size)
        part = a_dataset(folder / "part.zip", PHOTO_SIDE, size_bytes=size // MEMORY_PART)
        tiny = a_dataset(folder / "tiny.zip", TINY_SIDE, images=asked.tiny)
        cases = (
            Case(f"{asked.megabytes} MB of photographs", large, LARGE_BUDGET),
            Case(f"{asked.tiny:,} images of {TINY_SIDE} px", tiny, TINY_BUDGET),
        )
        pairs = {case.name: measure(case.archive, folder, asked.rounds) for case in cases}
        small = verified(part, folder)
    print(f"{asked.rounds} x 2 pairs; load {os.getloadavg()[0]:.1f}\n")
    print(times_table(cases, pairs))
    print()
    print(memory_table(small, pairs[cases[0].name][0][0], asked.megabytes))


def a_dataset(path: Path, side: int, *, images: int = 0, size_bytes: int = 0) -> Path:
    """Write a zip with a number of images, or with as many as have a size together."""
    drawn = [a_photograph(side, seed) for seed in range(DRAWN)]
    count = images or -(-size_bytes * DRAWN // sum(map(len, drawn)))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.yaml", DATA_YAML)
        for number in range(count):
            split = "train" if number % VAL_EVERY else "val"
            content = with_comment(drawn[number % DRAWN], str(number).encode())
            archive.writestr(f"images/{split}/{number:06d}.jpg", content)
            archive.writestr(f"labels/{split}/{number:06d}.txt", BOXES)
    return path


def a_photograph(side: int, seed: int) -> bytes:
    """Return a JPEG of smooth colours and grain, whose size is like that of a photograph."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (COARSENESS, COARSENESS, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = rng.integers(-COARSENESS, COARSENESS, (side, side, 1), dtype=np.int16)
    stream = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(
        stream, "JPEG", quality=QUALITY
    )
    return stream.getvalue()


def with_comment(jpeg: bytes, comment: bytes) -> bytes:
    """Return the JPEG with a comment behind its first marker."""
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def measure(archive: Path, folder: Path, rounds: int) -> list[tuple[Cost, Cost]]:
    """Verify and read an archive in turns, ABBA; return pairs of our cost and the plain one."""
    pairs = []
    for _ in range(rounds):
        ours = verified(archive, folder)
        pairs.append((ours, plainly_read(archive, folder)))
        plain = plainly_read(archive, folder)
        pairs.append((verified(archive, folder), plain))
    return pairs


def verified(archive: Path, folder: Path) -> Cost:
    """Verify an archive as the server does, in a process of its own."""
    output = folder / "verified"
    output.mkdir()
    request = output / "request.json"
    request.write_text(VerificationRequest(archive=archive, output=output).model_dump_json())
    cost = cost_of([sys.executable, "-m", "app.datasets.verification", str(request)], ROOT)
    report = Report.model_validate_json((output / REPORT_NAME).read_bytes())
    shutil.rmtree(output)
    # Images that are drawn in the same way look alike.
    if report.state != "ready" or set(report.finding_totals) - {
        "split-lookalike",
        "image-lookalike",
    }:
        raise Failed(f"the dataset is not as it was drawn: {report.findings}")
    return cost


def plainly_read(archive: Path, folder: Path) -> Cost:
    """Unzip an archive, hash each file and decode each image, in three processes."""
    files = folder / "files"
    files.mkdir()
    commands: Sequence[Sequence[str]] = (
        ("unzip", "-qq", str(archive)),
        ("find", ".", "-type", "f", "-exec", "sha256sum", "{}", "+"),
        (sys.executable, str(DECODER), "."),
    )
    total = Cost(0, 0)
    for command in commands:
        total += cost_of(command, files)
    shutil.rmtree(files)
    return total


def cost_of(command: Sequence[str], folder: Path) -> Cost:
    """Run a command to its end and return what it cost, with its children."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=clean_environment(), stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}")
    wall = time.perf_counter() - began
    return Cost(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / KIB_PER_MIB)


def times_table(cases: Sequence[Case], pairs: dict[str, list[tuple[Cost, Cost]]]) -> str:
    """Return the table of CPU and wall times with their ratios and budgets."""
    head = ["seconds", "Trainyard", "plain", "ratio [95 % interval]", "budget"]
    return table([head, *(row for case in cases for row in time_rows(case, pairs[case.name]))])


def time_rows(case: Case, pairs: Sequence[tuple[Cost, Cost]]) -> Iterator[list[str]]:
    """Yield the rows of one case: CPU time, which is judged, and wall time."""
    cpu = [(ours.cpu, plain.cpu) for ours, plain in pairs]
    wall = [(ours.wall, plain.wall) for ours, plain in pairs]
    ratio = ratio_of_means(cpu)
    judged = f"≤ {case.budget:g}: {'kept' if ratio.value <= case.budget else 'MISSED'}"
    yield [f"CPU, {case.name}", *means(cpu), str(ratio), judged]
    yield [f"wall, {case.name}", *means(wall), str(ratio_of_means(wall)), "none"]


def means(pairs: Sequence[tuple[float, float]]) -> tuple[str, str]:
    """Return the means of both sides as text."""
    return (f"{fmean(ours for ours, _ in pairs):.2f}", f"{fmean(plain for _, plain in pairs):.2f}")


def memory_table(part: Cost, whole: Cost, megabytes: int) -> str:
    """Return the table of the verification's peak memory at a part of the size and at all of it."""
    more = whole.peak_mib - part.peak_mib
    judged = "kept" if more <= MEMORY_BUDGET_MIB else "MISSED"
    small = megabytes // MEMORY_PART
    head = ["peak memory, MiB", f"{small} MB", f"{megabytes} MB", "difference", "budget"]
    figures = [f"{part.peak_mib:.0f}", f"{whole.peak_mib:.0f}", f"{more:+.0f}"]
    return table([head, ["verification", *figures, f"≤ +{MEMORY_BUDGET_MIB}: {judged}"]])


if __name__ == "__main__":
    main()
