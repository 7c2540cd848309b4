"""End with status 1 if the best value of a metric is below a bound.

`trainyard metrics JOB | python gate.py "metrics/mAP50(B)" 0.5` reads the epochs of a job as CSV. If
the job has `best_model.metric` set to the same metric, the best value is that of best.pt.
"""

import argparse
import csv
import sys


def main() -> None:
    """Read the epochs from stdin and compare the best one with the bound."""
    parser = argparse.ArgumentParser()
    parser.add_argument("metric")
    parser.add_argument("bound", type=float)
    asked = parser.parse_args()
    values = [float(row[asked.metric]) for row in csv.DictReader(sys.stdin) if row[asked.metric]]
    if not values:
        sys.exit(f"No epoch has a value of {asked.metric}.")
    if max(values) < asked.bound:
        sys.exit(f"{asked.metric} is {max(values)}, below the bound {asked.bound}.")
    print(f"{asked.metric} is {max(values)}, at least the bound {asked.bound}.")


if __name__ == "__main__":
    main()
