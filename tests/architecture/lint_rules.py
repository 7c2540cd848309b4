"""Our own rules that ruff lacks: one class each, with its reason, a good and a bad example.

A rule reads one parsed file and yields the lines that break it. `test_lint_rules.py` runs every
rule over the tree and over its own examples.
"""

import ast
from abc import ABC, abstractmethod
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import ClassVar, TypeGuard


class LintRule(ABC):
    """One rule of the code base, checked on the syntax tree of a file."""

    name: ClassVar[str]
    reason: ClassVar[str]
    where: ClassVar[tuple[str, ...]] = ("app/*", "worker/*")
    except_in: ClassVar[tuple[str, ...]] = ()
    good: ClassVar[str]
    bad: ClassVar[str]

    def applies_to(self, path: str) -> bool:
        """`path` is relative to the repository and written with slashes."""
        included = any(fnmatch(path, pattern) for pattern in self.where)
        return included and not any(fnmatch(path, pattern) for pattern in self.except_in)

    @abstractmethod
    def broken_lines(self, tree: ast.AST) -> Iterator[int]:
        """Yield the line of every place that breaks the rule."""


class OneCommit(LintRule):
    """Only `Database.write` commits."""

    name = "one-commit"
    reason = "a second place that commits can acknowledge what a rollback then takes back"
    except_in = ("app/core/database.py",)
    good = "with database.write() as unit:\n    unit.session.add(job)\n"
    bad = "session.add(job)\nsession.commit()\n"

    def broken_lines(self, tree: ast.AST) -> Iterator[int]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called_name(node) == "commit":
                yield node.lineno


class StatesChangeInOnePlace(LintRule):
    """A state changes only by an event of its table, in the modules that own the row.

    The end of leased work also writes a state: `VERIFICATIONS.finish(…)`, `INSPECTIONS.finish(…)`.
    """

    name = "state-in-one-place"
    reason = "a state written elsewhere skips the transition table and its guard"
    except_in = (
        "app/datasets/verification_queue.py",
        "app/jobs/end_reasons.py",  # the states to which end reasons lead, no columns
        "app/jobs/life/claim.py",
        "app/jobs/life/transitions.py",
        "app/models/inspection.py",
        "app/*/repository.py",
        "app/webhooks/deliveries.py",  # the states of deliveries, which have no other module
        "worker/trainer/state/augmentation.py",  # the states of NumPy's generators
    )
    good = "cancel_job(session, job)\nupdate(Job).where(Job.id == job_id).values(priority=3)\n"
    bad = "update(Job).where(Job.id == job_id).values(state='queued')\n"

    def broken_lines(self, tree: ast.AST) -> Iterator[int]:
        for node in ast.walk(tree):
            if isinstance(node, ast.stmt) and _assigns_state(node):
                yield node.lineno
            if isinstance(node, ast.Call) and (_updates_state(node) or _ends_leased_work(node)):
                yield node.lineno


class OneClock(LintRule):
    """Leases compare database time; durations are measured with the monotonic clock."""

    name = "one-clock"
    reason = "two machines' wall clocks disagree, and the one that is ahead steals a living job"
    where = (
        "app/core/leased_rows.py",
        "app/datasets/repository.py",
        "app/datasets/verification_queue.py",
        "app/datasets/verifier.py",
        "app/jobs/life/claim.py",
        "app/jobs/life/doorbell.py",
        "app/jobs/locks.py",
        "app/jobs/life/recording.py",
        "app/jobs/life/transitions.py",
        "app/jobs/life/reconciler.py",
        "app/jobs/repository.py",
        "app/models/inspection.py",
        "worker/attempt/lease.py",
        "worker/attempt/supervisor.py",
        "worker/inspection.py",
    )
    good = "expired = Job.lease_expires_at < database_now()\nstarted = time.monotonic()\n"
    bad = "expired = Job.lease_expires_at < datetime.now(UTC)\n"

    clocks = frozenset({"time.time", "time.time_ns", "datetime.now", "datetime.utcnow"})

    def broken_lines(self, tree: ast.AST) -> Iterator[int]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                dotted = ast.unparse(node.func)
                if any(dotted == clock or dotted.endswith(f".{clock}") for clock in self.clocks):
                    yield node.lineno


class ScopedByProject(LintRule):
    """A query for rows that a project owns takes the caller's projects, or a claim's hold."""

    name = "scoped-by-project"
    reason = "a query without its project shows one customer's rows to another"
    where = ("app/*/repository.py",)
    good = (
        "def job_of(session, project_ids):\n    return select(Job).where(*_visible(project_ids))\n"
    )
    bad = "def job_of(session, job_id):\n    return select(Job).where(Job.id == job_id)\n"

    owned = frozenset({"Dataset", "Job", "Model", "Upload"})

    def broken_lines(self, tree: ast.AST) -> Iterator[int]:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and not _is_scoped(node):
                yield from (call.lineno for call in ast.walk(node) if self._asks_for_owned(call))

    def _asks_for_owned(self, node: ast.AST) -> TypeGuard[ast.Call]:
        if not isinstance(node, ast.Call) or _called_name(node) != "select":
            return False
        return any(isinstance(row, ast.Name) and row.id in self.owned for row in node.args)


class NoRawSqlText(LintRule):
    """SQL is written with SQLAlchemy's expressions, which bind values and suit both databases."""

    name = "no-sql-from-strings"
    reason = "a value pasted into SQL text is an injection, and a dialect's text breaks the other"
    good = "text('SELECT 1')\n"
    bad = "text(f'SELECT * FROM jobs WHERE name = {name}')\n"

    def broken_lines(self, tree: ast.AST) -> Iterator[int]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _called_name(node) == "text" and node.args:
                built = isinstance(node.args[0], ast.JoinedStr | ast.BinOp | ast.Call)
                if built:
                    yield node.lineno


class NamesOfModules(LintRule):
    """No module and no class has a catch-all name."""

    name = "names-that-say-something"
    reason = "a generic name collects everything until nobody knows which file to change"
    good = "class JobQueue: ...\n"
    bad = "class JobManager: ...\n"

    generic = ("Utils", "Helper", "Helpers", "Manager", "Service", "Common", "Info")

    def broken_lines(self, tree: ast.AST) -> Iterator[int]:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name.endswith(self.generic):
                yield node.lineno


def _called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _is_scoped(function: ast.FunctionDef) -> bool:
    parameters = {parameter.arg for parameter in [*function.args.args, *function.args.kwonlyargs]}
    return bool(parameters & {"project_id", "project_ids", "hold"})


def _assigns_state(node: ast.stmt) -> bool:
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    for target in [*targets]:  # of `row.state, row.user_id = …`, each is one
        if isinstance(target, ast.Tuple | ast.List):
            targets += target.elts
    return any(isinstance(target, ast.Attribute) and _is_row_state(target) for target in targets)


def _is_row_state(target: ast.Attribute) -> bool:
    # `self.state` is an attribute of the object, not a column.
    of_self = isinstance(target.value, ast.Name) and target.value.id == "self"
    return target.attr == "state" and not of_self


def _updates_state(call: ast.Call) -> bool:
    if _called_name(call) != "values" or not _begins_with_update(call.func):
        return False
    keywords = any(keyword.arg == "state" for keyword in call.keywords)
    return keywords or any(map(_has_state_key, call.args))


def _ends_leased_work(call: ast.Call) -> bool:
    """Return whether it is a method of a module's `LeasedRows`, which are constants."""
    method = call.func
    return (
        isinstance(method, ast.Attribute)
        and method.attr in {"finish", "record_crash"}
        and isinstance(method.value, ast.Name)
        and method.value.id.isupper()
    )


def _begins_with_update(expression: ast.expr) -> bool:
    while True:
        if isinstance(expression, ast.Attribute):
            expression = expression.value
        elif isinstance(expression, ast.Call):
            if _called_name(expression) == "update":
                return True
            expression = expression.func
        else:
            return False


def _has_state_key(argument: ast.expr) -> bool:
    keys = argument.keys if isinstance(argument, ast.Dict) else []
    return any(isinstance(key, ast.Constant) and key.value == "state" for key in keys)


RULES: tuple[LintRule, ...] = (
    OneCommit(),
    StatesChangeInOnePlace(),
    OneClock(),
    ScopedByProject(),
    NoRawSqlText(),
    NamesOfModules(),
)
