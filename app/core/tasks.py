"""The tasks of Ultralytics, in the order in which the API lists them."""

from typing import Final, Literal, get_args

from pydantic import JsonValue

Task = Literal["detect", "segment", "pose", "obb", "classify", "semantic", "depth"]
TASKS: Final[tuple[Task, ...]] = get_args(Task)
TASK_NAMES: Final[dict[str, JsonValue]] = {"enum": list(TASKS)}
"""What the schema of a field says that holds a task as text."""
