"""Every command, found through the groups that hold them."""

from typing import Any

import typer
from typer.core import TyperGroup


def commands(group: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:  # noqa: ANN401
    """Return every command below a group by its words."""
    if not isinstance(group, TyperGroup):
        return {path: group}
    context: Any = typer.Context(group)
    found: dict[tuple[str, ...], Any] = {}
    for name in group.list_commands(context):
        below = group.get_command(context, name)
        found |= commands(below, (*path, name))
    return found
