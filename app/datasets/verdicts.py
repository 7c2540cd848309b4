"""What a verification found, and the columns of the version that it decides."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from app.core.pages import SHOWN_CLASSES
from app.core.storage import StoredObject
from app.core.tasks import Task
from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.report import Report, invalid_report
from app.datasets.stored.keep import KeptFiles
from app.datasets.tables import VersionState

if TYPE_CHECKING:
    from app.datasets.reports.findings import Fix

WITH_BOXES: Final = frozenset({"segment", "obb", "pose"})
"""Tasks whose labels can be read as boxes."""


@dataclass(frozen=True)
class Verdict:
    """The report of the verification process and, if the version is valid, its stored files.

    `findings` are all findings, if the report has only the first of a code.
    """

    report: Report
    files: KeptFiles | None = None
    overview: StoredObject | None = None
    findings: StoredObject | None = None


def columns_of(verdict: Verdict, *, present_task: str | None) -> dict[str, Any]:
    """Return the columns of a verified version.

    A valid version becomes invalid if its task is not that of the dataset's ready versions.
    """
    report, files = verdict.report, verdict.files
    if files is not None and present_task not in {None, report.task}:
        verdict = Verdict(_mismatch(report.task, present_task))
        report, files = verdict.report, None
    overview, findings = verdict.overview, verdict.findings
    return {
        "state": VersionState(report.state),
        "task": report.task,
        "manifest_digest": report.manifest_digest,
        "manifest_bytes": files.manifest.size_bytes if files else None,
        "pack_bytes": report.pack_bytes,
        "changes": report.changes,
        "overview_sha256": overview.sha256 if overview else None,
        "overview_bytes": overview.size_bytes if overview else None,
        "finding_counts": _counts_by_severity(report),
        "findings_sha256": findings.sha256 if findings else None,
        "classes": report.classes,
        "class_count": len(report.classes),
        "first_classes": report.classes[:SHOWN_CLASSES],
        "images": {split: summary.images for split, summary in report.splits.items()},
        "report": report.model_dump(mode="json", exclude={"training"}),
        "training_facts": report.training.model_dump(mode="json") if report.training else None,
    }


def _counts_by_severity(report: Report) -> dict[str, int]:
    """Count all findings; those of a code have one severity, and the report has the first ones."""
    counts = dict.fromkeys(map(str, Severity), 0)
    severities = {found.code.value: found.severity for found in report.findings}
    for code, count in report.finding_totals.items():
        counts[severities.get(code, Severity.WARNING)] += count
    return counts


def _mismatch(found: Task | None, present: str | None) -> Report:
    message = f"The labels are for {found}, the dataset is for {present}."
    fixes: list[Fix] = [{"task": present}] if present == "detect" and found in WITH_BOXES else []
    return invalid_report(Code.TASK_MISMATCH, message, fixes)
