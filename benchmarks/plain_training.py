"""Plain Ultralytics, as a person would run it: `python plain_training.py ARGUMENTS.json`.

It does not use Trainyard. The last line on stdout is JSON with the time of the first batch.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Train with the arguments in the file that the command line names."""
    from ultralytics.models.yolo.detect import DetectionTrainer  # noqa: PLC0415 -- its time is measured

    marks: dict[str, float] = {}
    trainer = DetectionTrainer(overrides=json.loads(Path(sys.argv[1]).read_text()))
    trainer.add_callback("on_train_start", lambda _: marks.update(first_batch_at=time.time()))
    trainer.train()  # type: ignore[no-untyped-call]
    sys.stdout.write("\n" + json.dumps(marks) + "\n")


if __name__ == "__main__":
    main()
