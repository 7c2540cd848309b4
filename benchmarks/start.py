"""Compare the start of a job through Trainyard with that of plain Ultralytics.

The first job of a slot also starts its preloaded parent; later jobs are forked from it, so both are
measured: each round starts a new `trainyard up`, whose first pair of trainings is counted apart.
Each pair trains the same small job both ways, in the order ABBA, and compares the results. Seconds
to the first batch begin just before the POST, or before the process starts, and end where training
begins (`on_train_start`). CPU time through Trainyard includes every process of `trainyard up`.
"""

import argparse
import os
from collections.abc import Callable, Sequence

from benchmarks.overhead import Bench, Run, a_bench
from benchmarks.running_server import running_trainyard, temporary_folder
from benchmarks.statistics_of_pairs import Ratio, ratio_of_means, table

ROUNDS, PAIRS = 3, 4
EPOCHS, IMAGES = 2, 16
START_BUDGET = 0.25
CPU_BUDGET = 1.0

Pair = tuple[Run, Run]


def main() -> None:
    """Measure and print; the exit status reports only whether the measurement succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often the service starts")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of later jobs, in each round")
    asked = parser.parse_args()
    first_jobs: list[Pair] = []
    later_jobs: list[Pair] = []
    for number in range(asked.rounds):
        first, later = pairs_of_a_round(pairs=asked.pairs, turned=number % 2 == 1)
        first_jobs.append(first)
        later_jobs += later
    print(f"\n{EPOCHS} epochs of {IMAGES} images, load {os.getloadavg()[0]:.1f}")
    print(f"\nFirst job of a slot, {len(first_jobs)} pairs\n\n{report(first_jobs)}")
    print(f"\nLater jobs of a slot, {len(later_jobs)} pairs\n\n{report(later_jobs, START_BUDGET)}")


def pairs_of_a_round(*, pairs: int, turned: bool) -> tuple[Pair, list[Pair]]:
    """Start the service; return the pair with its first job, and those with later ones."""
    with temporary_folder() as folder, running_trainyard(folder / "home") as server:
        bench: Bench = a_bench(server, folder / "shapes", images=IMAGES)
        first = bench.pair(epochs=EPOCHS, turned=turned)
        later = [
            bench.pair(epochs=EPOCHS, turned=turned == (number % 2 == 0)) for number in range(pairs)
        ]
    return first, later


def report(pairs: Sequence[Pair], start_budget: float | None = None) -> str:
    """Return the table: means, ratio with its interval, and budget, if these jobs have one."""
    cpu_budget = CPU_BUDGET if start_budget else None

    def line(what: str, of: Callable[[Run], float], budget: float | None) -> list[str]:
        values = [(of(ours), of(plain)) for ours, plain in pairs]
        ours, plain = (sum(each) / len(pairs) for each in zip(*values, strict=True))
        ratio = ratio_of_means(values)
        return [what, f"{ours:.2f}", f"{plain:.2f}", str(ratio), _judged(ratio, budget)]

    return table(
        [
            ["seconds", "Trainyard", "plain", "ratio [95 % interval]", "budget"],
            line("to the first batch", lambda run: run.to_first_batch, start_budget),
            line("whole job", lambda run: run.whole_wall, None),
            line("CPU, whole job", lambda run: run.whole_cpu, cpu_budget),
        ]
    )


def _judged(ratio: Ratio, budget: float | None) -> str:
    if budget is None:
        return "none"
    return f"≤ {budget:g}: {'kept' if ratio.value <= budget else 'MISSED'}"


if __name__ == "__main__":
    main()
