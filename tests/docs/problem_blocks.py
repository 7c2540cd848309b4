"""The generated part of docs/problems.md: every problem type of an answer."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import app
from app.core.errors import TrainyardError
from app.core.problems import STATUS
from tests.docs.markdown import code, table


def problems() -> str:
    """Return the table of problem types, by status and slug."""
    found = sorted(problem_types(), key=lambda each: (status_in_answers(each), each.slug))
    rows = [
        (code(each.slug), str(status_in_answers(each)), each.title, meaning_of(each))
        for each in found
    ]
    return table(("type", "status", "title", "meaning"), rows)


def problem_types() -> list[type[TrainyardError]]:
    """Return each of our classes that defines its own slug."""
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if not module.name.endswith(".__main__"):  # importing a program would run it
            importlib.import_module(module.name)
    return [each for each in descendants(TrainyardError) if "slug" in vars(each)]


def descendants(kind: type[TrainyardError]) -> Iterator[type[TrainyardError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith("app."):
            yield from descendants(child)


def status_in_answers(kind: type[TrainyardError]) -> int:
    """Return the HTTP status without an instance, because constructors differ."""
    return next(STATUS[each] for each in kind.__mro__ if each in STATUS)


def meaning_of(kind: type[TrainyardError]) -> str:
    """Return the first paragraph of the class's docstring, in one line."""
    text = inspect.cleandoc(kind.__doc__ or "")
    return " ".join(text.partition("\n\n")[0].split())
