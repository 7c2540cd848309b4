"""Functions that read the report of a verification, and that change the files to verify."""

from collections.abc import Callable

from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.report import Report
from tests.datasets.builders import Files

Verify = Callable[..., Report]


def codes(report: Report, severity: Severity = Severity.ERROR) -> set[Code]:
    return {finding.code for finding in report.findings if finding.severity is severity}


def warnings(report: Report) -> set[Code]:
    return codes(report, Severity.WARNING)


def moved(files: Files, old: str, new: str) -> Files:
    return {name.replace(old, new): content for name, content in files.items()}


def without(files: Files, *names: str) -> Files:
    return {name: content for name, content in files.items() if name not in names}
