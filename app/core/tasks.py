"""The tasks of Ultralytics, in the order in which the API lists them."""

from typing import Final, Literal, get_args

Task = Literal["detect", "segment", "pose", "obb", "classify", "semantic", "depth"]
TASKS: Final[tuple[Task, ...]] = get_args(Task)
