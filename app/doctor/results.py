"""What a check found, and the advice for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    FINE = "fine"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes:
        check: name of the check, such as `database`.
        verdict: whether something must be done.
        message: what was found, without secrets.
        advice: what to do; empty if nothing.
    """

    check: str
    verdict: Verdict
    message: str
    advice: str = ""


def fine(check: str, message: str) -> CheckResult:
    """Return the result of a check that found nothing to do."""
    return CheckResult(check, Verdict.FINE, message)


def warning(check: str, message: str, advice: str) -> CheckResult:
    """Return a result that does not prevent anything from working."""
    return CheckResult(check, Verdict.WARNING, message, advice)


def error(check: str, message: str, advice: str) -> CheckResult:
    """Return a result that prevents something from working or from being safe."""
    return CheckResult(check, Verdict.ERROR, message, advice)


def has_errors(results: Iterable[CheckResult]) -> bool:
    """Return whether any check found an error."""
    return any(result.verdict is Verdict.ERROR for result in results)
