"""No lock file has a version with a known fault, and the bill of materials lists what is locked."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.architecture.sources import ROOT

LOCKS = ("requirements.txt", "requirements-worker.txt", "requirements-dev.txt")
PYTHON = Path(sys.executable)


def floors() -> dict[str, Version]:
    """Return the lowest version of each package without the faults in docs/advisories.md."""
    text = (ROOT / "docs/advisories.md").read_text()
    table = text.partition("<!-- advisories: begin -->")[2].partition("<!-- advisories: end -->")[0]
    rows = re.findall(
        r"^\| ([a-z][\w.-]*) \| (\d\S*) \| (?:CVE|PYSEC|GHSA)-\S+", table, re.MULTILINE
    )
    return {name: Version(version) for name, version in rows}


def locked(name: str) -> Iterator[tuple[str, Version]]:
    """Yield each package of a lock file with its version; a package may have several."""
    for line in (ROOT / name).read_text().splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\"))
            (pin,) = requirement.specifier
            yield requirement.name, Version(pin.version)


class TestFloors:
    def test_the_table_lists_packages_that_are_installed(self) -> None:
        installed = {name for lock in LOCKS for name, _ in locked(lock)}

        assert len(floors()) == 15
        assert set(floors()) <= installed

    @pytest.mark.parametrize("lock", LOCKS)
    def test_no_lock_file_has_a_version_with_a_known_fault(self, lock: str) -> None:
        lowest = floors()

        below = [(name, found) for name, found in locked(lock) if found < lowest.get(name, found)]

        assert below == []


@pytest.mark.slow  # the program that writes it takes seconds for each lock file
class TestBillOfMaterials:
    @pytest.mark.parametrize("lock", ["requirements.txt", "requirements-worker.txt"])
    def test_the_bill_lists_every_locked_package_with_its_hashes(
        self, lock: str, tmp_path: Path
    ) -> None:
        document = sbom(lock, tmp_path / "sbom.json")

        listed = {(part["name"], part["version"]) for part in document["components"]}
        assert listed == {(name, str(version)) for name, version in locked(lock)}
        assert all(
            reference["hashes"]
            for part in document["components"]
            for reference in part["externalReferences"]
        )

    def test_the_bill_names_the_program_and_its_licence(self, tmp_path: Path) -> None:
        document = sbom("requirements.txt", tmp_path / "sbom.json")

        program = document["metadata"]["component"]
        assert program["name"] == "trainyard-server"
        assert program["licenses"][0]["license"]["id"] == "AGPL-3.0-or-later"


def sbom(lock: str, path: Path) -> dict[str, Any]:
    """Make the document with the command of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    (options,) = re.findall(r"^SBOM := \$\(BIN\)/cyclonedx-py (.+)$", makefile, re.MULTILINE)
    command = [PYTHON.with_name("cyclonedx-py"), *options.split(), lock, "--output-file", path]
    made = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert made.returncode == 0, made.stderr
    document: dict[str, Any] = json.loads(path.read_text())
    return document
