"""The generated index of docs/decisions/."""

from tests.architecture.decisions import Record, records
from tests.docs.markdown import table


def decisions() -> str:
    """Return the table of decision records: title, status, successor, and what enforces each."""
    rows = [
        [
            f"[{record.number}]({record.file})",
            record.title,
            record.accepted.lower(),
            _newer(record),
            record.enforced_by,
        ]
        for record in records()
    ]
    return table(["number", "title", "status", "superseded by", "enforced by"], rows)


def _newer(record: Record) -> str:
    links = ", ".join(f"[{file[:4]}]({file})" for file in sorted(record.superseded_by))
    return f"{links}, in part" if record.is_superseded_in_part else links
