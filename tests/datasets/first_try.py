"""Archives drawn after those in public repositories, with the answer that each gets.

`tests/data/first_try/expected.json` has the answers: `ready` with task, names and images by split;
`asks`: one finding that names the parameter that is missing; `named`: one finding that names what
the archive is, or what it lacks.
"""

import json
from pathlib import Path
from typing import Any, Final

from app.datasets.reports.report import ImportOptions, Report, VerificationRequest
from app.datasets.verification.verify import verify

ARCHIVES: Final = Path(__file__).parents[1] / "data" / "first_try"
EXPECTED: Final[dict[str, dict[str, Any]]] = json.loads((ARCHIVES / "expected.json").read_text())


def names_with(answer: str) -> list[str]:
    return [name for name, expected in EXPECTED.items() if expected["answer"] == answer]


def verdict_on(name: str, folder: Path) -> Report:
    options = ImportOptions(task=EXPECTED[name]["send_task"])
    archive = ARCHIVES / f"{name}.zip"
    return verify(VerificationRequest(archive=archive, output=folder, options=options))
