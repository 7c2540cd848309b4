"""Rows of invalid versions with findings, for tests that need no verification."""

from pathlib import Path
from typing import Any

from sqlalchemy import update

from app.core.database import database_now
from app.core.ids import new_id
from app.datasets.reports.finding_codes import Code, Severity
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import Report
from app.datasets.repository import NewVersion, insert_version, lock_or_insert_dataset
from app.datasets.tables import DatasetVersion, VersionState
from tests.worlds.server import Api

Json = dict[str, Any]


def an_invalid_version(
    api: Api,
    folder: Path,
    counts: dict[Code, int],
    *,
    name: str | None = None,
    options: Json | None = None,
) -> Json:
    """Add the row of a version with these findings, as the strict policy reports them."""
    findings = Findings("strict")
    for code, count in counts.items():
        for number in range(count):
            findings.add(code, "It is wrong.", file=f"{number}.txt", line=number + 1)
    findings.write_all(folder / "findings.jsonl")
    listed = [*folder.glob("findings.jsonl")]
    report = Report(
        state="invalid", findings=findings.kept(), finding_totals=findings.totals()
    ).model_dump(mode="json")
    columns = {
        "state": VersionState.INVALID,
        "report": report,
        "finding_counts": {
            severity: sum(
                count for code, count in counts.items() if findings.severity_of(code) is severity
            )
            for severity in Severity
        },
        "findings_sha256": api.context.store.put_file(listed[0]).sha256 if listed else None,
        "verified_at": database_now(),
    }
    with api.database.write() as unit:
        dataset = lock_or_insert_dataset(
            unit.session, api.rows.project_id, name or new_id("x"), owner_id=api.rows.user_id
        )
        new = NewVersion("ab" * 32, 3, None, options or {})
        version = insert_version(unit.session, dataset.id, new)
        held = update(DatasetVersion).where(DatasetVersion.id == version.id)
        unit.session.execute(held.values(**columns))
        return {"id": dataset.id, "version": version.id, "name": dataset.name}
