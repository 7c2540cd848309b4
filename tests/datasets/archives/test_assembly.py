"""Lists of stored files are verified like an archive, alone or with an archive of more files."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.datasets.packs.assembly import AssembledFile, write_assembly
from app.datasets.packs.manifest import read_manifest
from app.datasets.packs.pack import read_packed_list
from app.datasets.reports.report import Report, VerificationRequest
from app.datasets.verification.verify import verify
from tests.datasets.builders import Files, a_zip, an_image, class_files, label_files, mask_files

pytestmark = pytest.mark.unit


def verified(
    folder: Path,
    stored: Mapping[str, bytes],
    sent: Files | None = None,
    expected: Mapping[str, bytes] | None = None,
) -> Report:
    """Verify `stored` files and an archive with the files `sent`.

    With `expected` the files are those of a list, of which the archive must contain some.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines, at = [], 0
    with (folder / "stored").open("wb") as pack:
        for path, content in stored.items():
            pack.write(content)
            digest = hashlib.sha256(content).hexdigest()
            lines.append(AssembledFile(path, digest, len(content), str(folder / "stored"), at))
            at += len(content)
    for path, content in (expected or {}).items():
        lines.append(AssembledFile(path, hashlib.sha256(content).hexdigest(), len(content)))
    write_assembly(folder / "assembly.jsonl", lines)
    archive = None if sent is None else a_zip(folder / "sent.zip", sent)
    request = VerificationRequest(
        archive=archive,
        assembly=folder / "assembly.jsonl",
        is_listing=expected is not None,
        output=folder,
    )
    return verify(request)


def from_archive(folder: Path, files: Files) -> Report:
    folder.mkdir(parents=True)
    archive = a_zip(folder / "upload.zip", files)
    return verify(VerificationRequest(archive=archive, output=folder))


class TestStoredFiles:
    @pytest.mark.parametrize("files", [label_files("detect"), mask_files(), class_files()])
    def test_a_list_gives_the_version_of_an_archive_with_these_files(
        self, tmp_path: Path, files: Files
    ) -> None:
        report = verified(tmp_path / "list", files)

        assert report.state == "ready", report.findings
        assert report.manifest_digest == from_archive(tmp_path / "zip", files).manifest_digest

    def test_bytes_that_are_stored_are_not_packed_again(self, tmp_path: Path) -> None:
        first = label_files("detect")
        from_archive(tmp_path / "first", first)
        stored = {
            file.path: first[file.path]
            for file in read_manifest(tmp_path / "first" / "manifest.jsonl")
            if file.path in first
        }

        verified(tmp_path / "second", stored)

        packed = {file.sha256 for file in read_packed_list(tmp_path / "second" / "packed.jsonl")}
        images = {hashlib.sha256(file).hexdigest() for path, file in first.items() if "jpg" in path}
        assert not packed & images

    def test_damaged_bytes_are_a_finding(self, tmp_path: Path) -> None:
        files = label_files("detect")
        verified(tmp_path, files)
        pack = (tmp_path / "stored").read_bytes()
        image = files["images/train/0003.jpg"]
        (tmp_path / "stored").write_bytes(pack.replace(image, image[:-1] + b"x"))

        report = verify(VerificationRequest(assembly=tmp_path / "assembly.jsonl", output=tmp_path))

        assert report.state == "invalid"
        assert report.finding_totals["archive-corrupt"] == 1


class TestWithAnArchive:
    def test_files_of_the_archive_are_added_and_replace_stored_ones(self, tmp_path: Path) -> None:
        stored = label_files("detect")
        sent = {
            "images/train/new.jpg": an_image(55),
            "labels/train/new.txt": b"0 0.5 0.5 0.25 0.25\n",
            "labels/train/0001.txt": b"2 0.5 0.5 0.25 0.25\n",
        }

        report = verified(tmp_path / "both", stored, sent)

        expected = from_archive(tmp_path / "zip", {**stored, **sent})
        assert report.manifest_digest == expected.manifest_digest

    def test_a_folder_around_the_added_files_does_not_matter(self, tmp_path: Path) -> None:
        stored = label_files("detect")
        sent = {"images/train/new.jpg": an_image(55), "labels/train/new.txt": b""}

        plain = verified(tmp_path / "plain", stored, sent)
        wrapped = verified(
            tmp_path / "wrapped", stored, {f"more/{path}": file for path, file in sent.items()}
        )

        assert plain.splits["train"].images == 9
        assert wrapped.manifest_digest == plain.manifest_digest

    def test_a_listed_file_comes_from_the_archive(self, tmp_path: Path) -> None:
        files = label_files("detect")
        new = {path: files.pop(path) for path in ("images/train/0001.jpg", "labels/train/0001.txt")}

        report = verified(tmp_path / "both", files, new, expected=new)

        expected = from_archive(tmp_path / "zip", {**files, **new})
        assert report.manifest_digest == expected.manifest_digest

    def test_other_bytes_than_the_listed_ones_are_refused(self, tmp_path: Path) -> None:
        files = label_files("detect")
        new = {"images/train/0001.jpg": files.pop("images/train/0001.jpg")}
        other = {"images/train/0001.jpg": an_image(99)}

        report = verified(tmp_path, files, other, expected=new)

        (finding,) = [found for found in report.findings if found.severity == "error"]
        assert (finding.code, finding.file) == ("archive-corrupt", "images/train/0001.jpg")

    def test_a_file_that_is_not_listed_is_not_used(self, tmp_path: Path) -> None:
        files = label_files("detect")
        new = {"images/train/0001.jpg": files.pop("images/train/0001.jpg")}
        more = {"images/train/more.jpg": an_image(99)}

        report = verified(tmp_path, files, new | more, expected=new)

        assert report.splits["train"].images == 8

    def test_a_folder_around_images_of_classes_does_not_matter(self, tmp_path: Path) -> None:
        files = class_files()
        stored = files | {"train/disc/.empty": b""}
        path = next(path for path in files if path.startswith("train/square/"))

        report = verified(tmp_path, stored, {f"more/{path}": an_image(99)})

        assert report.state == "ready", report.findings
        assert report.splits["train"].images == 9

    def test_a_listed_file_that_is_nowhere_is_named(self, tmp_path: Path) -> None:
        files = label_files("detect")
        new = {"images/train/0001.jpg": files.pop("images/train/0001.jpg")}

        report = verified(tmp_path, files, {"readme.md": b"x"}, expected=new)

        (finding,) = [found for found in report.findings if found.severity == "error"]
        assert (finding.code, finding.file) == ("listed-file-missing", "images/train/0001.jpg")

    def test_a_name_outside_of_the_dataset_is_refused(self, tmp_path: Path) -> None:
        report = verified(tmp_path, {**label_files("detect"), "../../etc/passwd": b"x"})

        assert report.finding_totals == {"path-traversal": 1}
