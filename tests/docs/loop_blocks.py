"""The generated parts of docs/training-loop.md.

They come from the source code: importing the classes would import torch, and also Ultralytics
before a test has set its environment. tests/worker/trainer/test_hooks.py compares them with the
classes.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from tests.architecture.sources import ROOT, relative
from tests.docs.markdown import code, table

TRAINER: Final = ROOT / "worker/trainer"
LINE: Final = re.compile(
    r"^ {4}(?P<indent> *)(?P<text>\S.*?) +# (?P<number>\d+) *(?P<rest>.*)$", re.MULTILINE
)
HOOK: Final = re.compile(r"hook_\w+")
COMPOUND: Final = (ast.If, ast.With, ast.Try)

Place = Literal["before", "around", "after"]


@dataclass(frozen=True)
class LoopLine:
    """A line of the loop in the docstring of hooks.py; `number` is the line of Ultralytics."""

    text: str
    number: int
    hooks: tuple[str, ...]


@dataclass(frozen=True)
class Act:
    """An action of a class in one of its methods: before, around or after super()."""

    owner: str
    file: Path
    method: str
    place: Place
    what: str


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def loop() -> str:
    """Return the loop from the docstring of hooks.py, as an indented block."""
    text = ast.get_docstring(parsed(TRAINER / "hooks.py"), clean=False) or ""
    return "\n".join(found[0] for found in LINE.finditer(text))


def loop_lines() -> list[LoopLine]:
    """Return the lines of the loop."""
    return [
        LoopLine(found["text"], int(found["number"]), tuple(HOOK.findall(found["rest"])))
        for found in LINE.finditer(loop())
    ]


def acting_classes() -> str:
    """Return the table of classes that act at each point, in the order of the loop and calls."""
    rows: list[list[str]] = []
    for point in points():
        name = code(point)
        for act in in_call_order(point, acts()):
            link = f"[{code(act.owner)}]({Path('..', relative(act.file)).as_posix()})"
            rows.append([name, link, _condition(act), act.place, act.what])
            name = ""
    return table(["point", "class", "acts", "when", "what it does"], rows)


def points() -> list[str]:
    """Return hooks and overridden methods: those of every event, then the loop's, in order."""
    found = ["hook_before_callbacks", "hook_after_callbacks"]
    ours = {act.method for act in acts()}
    for line in loop_lines():
        before = [hook for hook in line.hooks if hook.startswith("hook_before_")]
        after = [hook for hook in line.hooks if not hook.startswith("hook_before_")]
        found += [*before, line.text, *after]
    return [name for name in dict.fromkeys(found) if name in ours]


def in_call_order(method: str, all_acts: Iterable[Act]) -> list[Act]:
    """Sort the acts in a method: outer classes act first before super(), and last after it.

    Args:
        method: a hook, or a method of Ultralytics.
        all_acts: of all classes, the outermost class first.
    """
    found = [act for act in all_acts if act.method == method]
    last = [act for act in found if act.place == "after"]
    return [*(act for act in found if act.place != "after"), *reversed(last)]


@cache
def acts() -> tuple[Act, ...]:
    """Return every method that one of our classes overrides, except constructors."""
    files = dict(_imports_of_compose())
    return tuple(act for owner in class_names() for act in _acts_of(owner, files[owner]))


def class_names() -> list[str]:
    """Return our classes in compose.py's order, outermost first; plugin callbacks are below."""
    ordered = {
        node.target.id: node.value
        for node in parsed(TRAINER / "compose.py").body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    lists = (ordered[name] for name in ("AROUND", "CUSTOMIZATIONS", "INNERMOST"))
    members = [each for found in lists for each in getattr(found, "elts", [])]
    firsts = [getattr(each, "elts", [each])[0] for each in members]
    return [*(first.id for first in firsts if isinstance(first, ast.Name)), "PluginCallbacks"]


def _imports_of_compose() -> Iterator[tuple[str, Path]]:
    for node in parsed(TRAINER / "compose.py").body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("worker.trainer."):
            file = ROOT.joinpath(*str(node.module).split(".")).with_suffix(".py")
            yield from ((alias.name, file) for alias in node.names)


def _acts_of(owner: str, file: Path) -> Iterator[Act]:
    (found,) = (
        node for node in parsed(file).body if isinstance(node, ast.ClassDef) and node.name == owner
    )
    for method in found.body:
        if isinstance(method, ast.FunctionDef) and _is_override(method):
            text = ast.get_docstring(method) or ""
            yield Act(owner, file, method.name, place_of(method), text.partition("\n")[0])


def _is_override(method: ast.FunctionDef) -> bool:
    return not method.name.startswith("__") and not method.decorator_list


def place_of(method: ast.FunctionDef) -> Place:
    """Return whether a method's own code is before, around or after its call of super().

    Raises:
        ValueError: the method does not call super().
    """
    has_docstring = ast.get_docstring(method) is not None
    body = method.body[1:] if has_docstring else method.body
    calls = [index for index, statement in enumerate(body) if _calls_super(statement, method.name)]
    if not calls:
        raise ValueError(f"{method.name} does not call super().")
    if any(isinstance(body[index], COMPOUND) for index in calls):
        return "around"
    if calls[0] == 0:
        return "after"
    return "before" if calls[-1] == len(body) - 1 else "around"


def _calls_super(statement: ast.stmt, name: str) -> bool:
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func) == f"super().{name}"
        for node in ast.walk(statement)
    )


def _condition(act: Act) -> str:
    if act.owner == "PluginCallbacks":
        return "in a job with a plugin"
    return "if the job asks" if act.file.parent.name == "customizations" else "always"
