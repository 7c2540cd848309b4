"""The trainer plugin of a job, with the defaults of its options filled in.

The server never imports a plugin; it knows only the reported data.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from typing import Final

from pydantic import JsonValue
from sqlalchemy.orm import Session

from app.core.errors import FieldError, Invalid
from app.core.problems import invalid_fields
from app.core.tasks import Task
from app.fleet.repository import KnownPlugin, known_plugins
from app.jobs.spec.job_spec import MAX_OPTIONS_CHARACTERS, TrainerChoice

MAX_NAMED: Final = 20
"""The maximum number of plugins that an error lists."""


def resolve_trainer(
    session: Session, choice: TrainerChoice | None, task: Task, *, silent: timedelta
) -> TrainerChoice | None:
    """Return the plugin with the defaults of its options filled in.

    Raises:
        Invalid: no worker reported the plugin, it does not support the task, or options do not fit.
    """
    if choice is None:
        return None
    known = known_plugins(session, silent=silent)
    plugin = known.get(choice.name)
    if plugin is None:
        message = f"No worker has a trainer plugin with this name. {_available(known)}"
        raise _invalid("unknown-trainer", message)
    if task not in plugin.tasks:
        message = f"This trainer plugin supports {', '.join(plugin.tasks)}; the task is {task}."
        raise _invalid("trainer-task", message)
    return TrainerChoice(name=choice.name, options=_checked(choice.options, plugin))


def _available(known: Mapping[str, KnownPlugin]) -> str:
    names = ", ".join(islice(known, MAX_NAMED))
    return f"Available: {names}." if names else "None is installed; see docs/plugins.md."


def _invalid(code: str, message: str) -> Invalid:
    return Invalid(message, errors=[FieldError("/trainer/name", code, message)])


def _checked(options: dict[str, JsonValue], plugin: KnownPlugin) -> dict[str, JsonValue]:
    # Loading it is slow, and only jobs with a plugin need it.
    from app.jobs.commands.option_schema import misfits, option_problem  # noqa: PLC0415

    schema = plugin.options_schema
    complete = _defaults(schema) | options
    problems = misfits(complete, schema)
    if len(json.dumps(complete)) > MAX_OPTIONS_CHARACTERS:
        message = f"With their defaults, options are at most {MAX_OPTIONS_CHARACTERS} characters."
        problems = [option_problem((), "options_too_long", message)]
    if problems:
        raise invalid_fields(problems)
    return complete


def _defaults(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    properties = schema.get("properties")
    fields = properties.items() if isinstance(properties, dict) else ()
    return {
        name: field["default"]
        for name, field in fields
        if isinstance(field, dict) and "default" in field
    }
