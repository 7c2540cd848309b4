"""Make a small detection dataset of drawn shapes, as a YOLO zip.

It is the demo dataset of the dashboard; equal seeds give equal bytes:
`python examples/shapes.py OUT.zip --train 60 --val 20 --size 160`.
"""

import argparse
from pathlib import Path

from app.web.entry.shapes import write_shapes


def main() -> None:
    """Read the command line and write the zip."""
    parser = argparse.ArgumentParser(description="Make a YOLO dataset of drawn shapes.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--train", type=int, default=60, help="training images")
    parser.add_argument("--val", type=int, default=20, help="validation images")
    parser.add_argument("--size", type=int, default=160, help="pixels along each side")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    write_shapes(asked.out, train=asked.train, val=asked.val, size=asked.size, seed=asked.seed)
    print(f"{asked.out}: {asked.train} + {asked.val} images")


if __name__ == "__main__":
    main()
