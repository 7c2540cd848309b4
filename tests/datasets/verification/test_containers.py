"""The same files give the same dataset, however they are packed."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.datasets.reports.report import VerificationRequest
from app.datasets.verification.verify import verify
from tests.datasets.builders import Files, class_files, label_files
from tests.datasets.hostile_archives import zipped
from tests.datasets.tars import COMPRESSIONS, gzipped, tarred

CONTAINERS: Final[dict[str, Callable[[Files], bytes]]] = {
    "tar": tarred,
    "tar.gz": lambda files: gzipped(tarred(files)),
    "tar.xz": lambda files: COMPRESSIONS["tar.xz"](tarred(files)),
    "zip-in-zip": lambda files: zipped({"set.zip": zipped(files), "README.md": b"#"}),
    "tgz-in-zip": lambda files: zipped({"set.tgz": gzipped(tarred(files))}),
    "zip-in-tar": lambda files: tarred({"my set/set.zip": zipped(files)}),
}


def digest(content: bytes, folder: Path) -> str | None:
    (folder / "upload").write_bytes(content)
    output = folder / "output"
    output.mkdir()

    report = verify(VerificationRequest(archive=folder / "upload", output=output))

    written = {path.name for path in output.iterdir()} - {"progress.json"}
    assert written == {"pack.zip", "manifest.jsonl", "overview.bin", "packed.jsonl"}
    return report.manifest_digest


class TestContainers:
    @settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        train=st.integers(2, 3),
        files=st.sampled_from(
            [
                lambda train: label_files("detect", train=train, val=2),
                lambda train: class_files(train=train * 3, val=3),
            ]
        ),
    )
    def test_a_set_has_one_digest_in_all_containers(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        train: int,
        files: Callable[[int], Files],
    ) -> None:
        packed = files(train)
        expected = digest(zipped(packed), tmp_path_factory.mktemp("zip"))

        digests = {
            name: digest(pack(packed), tmp_path_factory.mktemp(name))
            for name, pack in CONTAINERS.items()
        }

        assert expected is not None
        assert digests == dict.fromkeys(CONTAINERS, expected)
