"""Complete archives with one fault each, and valid ones that only look faulty, by row id."""

import io
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import yaml
from PIL import Image

from app.datasets.reports.finding_codes import Code
from tests.datasets.builders import (
    Files,
    a_yaml,
    an_image,
    encoded,
    label_files,
    npy,
    with_central_bytes,
    with_flags,
)
from tests.datasets.tars import entry, gzipped, pax, tarred

CANARY = "c4n4ry"
BOX = "0 0.5 0.5 0.2 0.2"
TRAIN_IMAGE = "images/train/0000.jpg"
TRAIN_LABEL = "labels/train/0000.txt"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Faulty:
    """An archive and the error in its report, with file and line if the error has them."""

    build: Callable[[], bytes]
    code: Code
    file: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Odd:
    """An archive that becomes ready, and the warning or ignored files in its report."""

    build: Callable[[], bytes]
    codes: frozenset[Code] = frozenset()
    ignored: frozenset[str] = frozenset()
    images: int = 4


def good_files() -> Files:
    return label_files("detect", train=4, val=2)


def zipped(files: Mapping[str, bytes], *entries: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for entry, content in entries:
            archive.writestr(entry, content)
    return stream.getvalue()


def with_files(**changes: bytes | None) -> Callable[[], bytes]:
    """Return a valid dataset with files added, replaced, or removed (None)."""
    return lambda: zipped(
        {name: content for name, content in (good_files() | changes).items() if content is not None}
    )


def with_file(name: str, content: bytes | str) -> Callable[[], bytes]:
    return with_files(**{name: content.encode() if isinstance(content, str) else content})


def with_raw_name(name: bytes) -> Callable[[], bytes]:
    """Return a valid dataset with a member whose name zipfile itself would not write."""
    stand_in = "N" * len(name)
    return lambda: zipped(good_files() | {stand_in: b"x"}).replace(stand_in.encode(), name)


def with_special(mode: int) -> Callable[[], bytes]:
    entry = zipfile.ZipInfo("images/train/link.jpg")
    entry.create_system = 3
    entry.external_attr = mode << 16
    return lambda: zipped(good_files(), (entry, b"/etc/passwd"))


def with_hard_link() -> bytes:
    entry = zipfile.ZipInfo("images/train/link.jpg")
    target = b"images/other.jpg"
    entry.extra = struct.pack("<HH", 0x000D, 12 + len(target)) + bytes(12) + target
    return zipped(good_files(), (entry, b""))


def with_method(method: int) -> Callable[[], bytes]:
    """Return a valid dataset whose first member declares another compression method."""
    value = struct.pack("<H", method)

    def build() -> bytes:
        archive = zipped(good_files())
        return with_central_bytes(archive[:8] + value + archive[10:], 10, value)

    return build


def with_two_disks() -> bytes:
    archive = zipped(good_files())
    at = archive.rindex(b"PK\x05\x06")
    return archive[: at + 4] + struct.pack("<HH", 1, 0) + archive[at + 8 :]


def tar_with(*entries: bytes) -> Callable[[], bytes]:
    """Return a valid dataset as a tar with entries before its own."""
    return lambda: b"".join(entries) + tarred(good_files())


def inner(content: bytes, name: str = "set.zip") -> bytes:
    return zipped({name: content, "README.md": b"#"})


def bomb_over_levels() -> bytes:
    """Return zeros in an archive in an archive; each one alone is within the ratio."""
    dense = {f"images/train/{number}.bmp": bytes(200_000) for number in range(200)}
    return inner(inner(zipped(dense)))


def overlapping() -> bytes:
    """Return an archive whose last directory entry points at the first member's bytes (Fifield)."""
    archive = zipped(good_files())
    at = archive.rindex(b"PK\x01\x02")
    return archive[: at + 42] + struct.pack("<L", 0) + archive[at + 46 :]


def declared_members() -> bytes:
    """Return an archive that declares ten million members and two gigabytes of them."""
    archive = zipped(good_files())
    at = archive.rindex(b"PK\x05\x06")
    return archive[: at + 8] + struct.pack("<HHL", 65535, 65535, 2**31) + archive[at + 16 :]


def lying_size() -> bytes:
    """Return an archive whose first member declares ten bytes and inflates to more."""
    files = {"data.yaml": a_yaml() + b"#" * 5_000, **good_files()}
    return with_central_bytes(zipped(files), 24, struct.pack("<L", 10))


def with_damage() -> bytes:
    archive = zipped(good_files())
    at = archive.index(TRAIN_IMAGE.encode()) + 200
    return archive[:at] + bytes(40) + archive[at + 40 :]


def as_zip64() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in good_files().items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    return stream.getvalue()


def with_windows_separators() -> bytes:
    return zipped({name.replace("/", "\\"): content for name, content in good_files().items()})


def wrapped() -> bytes:
    return zipped({f"my set/{name}": content for name, content in good_files().items()})


def with_yaml(text: str) -> Callable[[], bytes]:
    return with_file("data.yaml", text)


def with_label(text: str | bytes) -> Callable[[], bytes]:
    return with_file(TRAIN_LABEL, text)


def with_image(content: bytes) -> Callable[[], bytes]:
    return with_file(TRAIN_IMAGE, content)


def without(folder: str) -> Callable[[], bytes]:
    return lambda: zipped(
        {name: content for name, content in good_files().items() if not name.startswith(folder)}
    )


def without_val() -> bytes:
    files = {name: content for name, content in good_files().items() if "/val/" not in name}
    return zipped(files | {"data.yaml": a_yaml(val=None)})


def every_label(text: str) -> Callable[[], bytes]:
    return lambda: zipped(
        {
            name: text.encode() if name.startswith("labels/") else content
            for name, content in good_files().items()
        }
    )


def anchors_bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join(lines)


def yaml_of(**keys: object) -> str:
    return a_yaml(**keys).decode()


FAULTY = {
    "U6-parent": Faulty(with_file("../../x.jpg", b"x"), Code.PATH_TRAVERSAL, "../../x.jpg"),
    "U6-absolute": Faulty(with_file("/etc/cron.d/x", b"x"), Code.PATH_TRAVERSAL, "/etc/cron.d/x"),
    "U6-drive": Faulty(with_file("C:/x.jpg", b"x"), Code.PATH_TRAVERSAL, "C:/x.jpg"),
    "U6-backslash-parent": Faulty(with_file("..\\..\\x.jpg", b"x"), Code.PATH_TRAVERSAL),
    "U6-unc": Faulty(with_file("\\\\host\\x.jpg", b"x"), Code.PATH_TRAVERSAL),
    "U6-nul": Faulty(with_raw_name(b"a.jpg\x00.txt"), Code.PATH_TRAVERSAL, "a.jpg\\x00.txt"),
    "U7-symlink": Faulty(with_special(stat.S_IFLNK | 0o777), Code.SPECIAL_FILE),
    "U7-fifo": Faulty(with_special(stat.S_IFIFO | 0o644), Code.SPECIAL_FILE),
    "U7-hard-link": Faulty(with_hard_link, Code.SPECIAL_FILE),
    "U8-duplicate": Faulty(with_file(f"./{TRAIN_IMAGE}", b"x"), Code.DUPLICATE_NAME),
    "U8-case": Faulty(with_file("images/TRAIN/0000.JPG", b"x"), Code.DUPLICATE_NAME),
    "U8-nfc": Faulty(with_files(**{"e\u0301.md": b"", "\u00e9.md": b""}), Code.DUPLICATE_NAME),
    "U9-encrypted": Faulty(lambda: with_flags(zipped(good_files()), 0x1), Code.ENCRYPTED),
    "U9-lzma": Faulty(with_method(14), Code.UNSUPPORTED_COMPRESSION),
    "U9-zstd": Faulty(with_method(93), Code.UNSUPPORTED_COMPRESSION),
    "U9-two-disks": Faulty(with_two_disks, Code.UNSUPPORTED_COMPRESSION),
    "tar-link": Faulty(tar_with(entry(b"l", kind=b"2")), Code.SPECIAL_FILE, "l"),
    "tar-hard-link": Faulty(
        tar_with(entry(b"l", kind=b"1", target=b"data.yaml")), Code.SPECIAL_FILE, "l"
    ),
    "tar-device": Faulty(tar_with(entry(b"sda", kind=b"4")), Code.SPECIAL_FILE, "sda"),
    "tar-sparse": Faulty(tar_with(entry(b"a.jpg", kind=b"S")), Code.SPECIAL_FILE, "a.jpg"),
    "tar-pax-name": Faulty(
        tar_with(pax({"path": "../x.jpg"}), entry(b"x.jpg")), Code.PATH_TRAVERSAL, "../x.jpg"
    ),
    "tar-pax-size": Faulty(
        tar_with(pax({"size": "10"}), entry(b"x.jpg", bytes(9))), Code.ARCHIVE_CORRUPT
    ),
    "tar-truncated": Faulty(lambda: tarred(good_files())[:-11_000], Code.ARCHIVE_CORRUPT),
    "tar-gz-truncated": Faulty(lambda: gzipped(tarred(good_files()))[:-100], Code.ARCHIVE_CORRUPT),
    "inner-bomb": Faulty(bomb_over_levels, Code.ARCHIVE_BOMB),
    "inner-traversal": Faulty(
        lambda: inner(zipped({"../../x.jpg": b"x"})), Code.PATH_TRAVERSAL, "../../x.jpg"
    ),
    "inner-truncated": Faulty(lambda: inner(zipped(good_files())[:-200]), Code.ARCHIVE_CORRUPT),
    "rar": Faulty(lambda: b"Rar!\x1a\x07\x01\x00" + bytes(600), Code.FORMAT_UNREAD),
    "7z-inside": Faulty(
        lambda: inner(b"7z\xbc\xaf\x27\x1c" + bytes(600), "set.7z"), Code.FORMAT_UNREAD, "set.7z"
    ),
    "deep-name": Faulty(with_file("d/" * 32_000 + "a.jpg", b"x"), Code.NAME_TOO_LONG),
    "names-undecided": Faulty(with_raw_name(b"\xff\xfe\xfd.jpg"), Code.NAMES_UNDECIDED),
    "U10-ratio": Faulty(with_file("images/train/a.bmp", bytes(32 * MIB)), Code.ARCHIVE_BOMB),
    "U10-overlap": Faulty(overlapping, Code.ARCHIVE_BOMB),
    "U10-lying-size": Faulty(lying_size, Code.ARCHIVE_CORRUPT),
    "U10-declared-members": Faulty(declared_members, Code.ARCHIVE_BOMB),
    "U11-truncated": Faulty(lambda: zipped(good_files())[:-200], Code.ARCHIVE_CORRUPT),
    "U11-prefix": Faulty(lambda: b"#!/bin/sh\n" + zipped(good_files()), Code.ARCHIVE_CORRUPT),
    "U11-polyglot": Faulty(lambda: an_image() + zipped(good_files()), Code.ARCHIVE_CORRUPT),
    "U11-damaged": Faulty(with_damage, Code.ARCHIVE_CORRUPT, TRAIN_IMAGE),
    "U11-no-archive": Faulty(CANARY.encode, Code.ARCHIVE_CORRUPT),
    "U15-truncated": Faulty(with_image(an_image()[:-400]), Code.IMAGE_UNREADABLE, TRAIN_IMAGE),
    "U15-svg": Faulty(with_image(b"<svg/>"), Code.IMAGE_UNREADABLE, TRAIN_IMAGE),
    "U17-four-columns": Faulty(
        with_label(f"{BOX}\n0 0.5 0.5 0.2"), Code.LABEL_COLUMNS, TRAIN_LABEL, 2
    ),
    "U17-text": Faulty(
        with_label(f"{CANARY} 0.5 0.5 0.2 0.2"), Code.LABEL_NOT_A_NUMBER, TRAIN_LABEL, 1
    ),
    "U17-nan": Faulty(with_label("0 nan 0.5 0.2 0.2"), Code.LABEL_NOT_A_NUMBER, TRAIN_LABEL, 1),
    "U17-above": Faulty(
        with_label(f"{BOX}\n\n0 1.02 0.5 0.2 0.2"), Code.LABEL_OUT_OF_RANGE, TRAIN_LABEL, 3
    ),
    "U17-class": Faulty(with_label("3 0.5 0.5 0.2 0.2"), Code.LABEL_CLASS, TRAIN_LABEL, 1),
    "U17-mixed": Faulty(
        with_label(f"{BOX}\n0 0.1 0.1 0.4 0.1 0.4 0.4"), Code.LABEL_MIXED, TRAIN_LABEL, 1
    ),
    "U17-utf-16": Faulty(with_label(BOX.encode("utf-16")), Code.LABEL_NOT_UTF8, TRAIN_LABEL, 1),
    "U17-million-rows": Faulty(
        with_label(f"{BOX}\n" * 200_000), Code.LABEL_TOO_LARGE, TRAIN_LABEL, 100_001
    ),
    "U18-no-train": Faulty(without("images/train/"), Code.SPLIT_MISSING),
    "U18-no-val": Faulty(without_val, Code.SPLIT_MISSING),
    "U18-all-labels-corrupt": Faulty(every_label(CANARY), Code.LABEL_COLUMNS),
    "U18-no-object": Faulty(every_label(""), Code.LABELS_MISSING),
    "U20-parent": Faulty(with_yaml(yaml_of(val="../../secret")), Code.YAML_PATH),
    "U20-absolute": Faulty(with_yaml(yaml_of(val="/etc")), Code.YAML_PATH),
    "U20-anchors": Faulty(with_yaml(anchors_bomb()), Code.YAML_INVALID, "data.yaml", 1),
    "U20-deep": Faulty(with_yaml("names: " + "[" * 20_000), Code.YAML_INVALID, "data.yaml", 1),
    "U20-python": Faulty(
        with_yaml("names: !!python/object/apply:os.system ['id']"),
        Code.YAML_INVALID,
        "data.yaml",
        1,
    ),
    "U20-many-classes": Faulty(with_yaml("nc: 100000"), Code.YAML_VALUE, "data.yaml"),
    "U20-duplicate-keys": Faulty(
        with_yaml(yaml_of() + "names: [a]\n"), Code.YAML_INVALID, "data.yaml"
    ),
}

ODD = {
    "tar": Odd(lambda: tarred(good_files())),
    "tar-gz": Odd(lambda: gzipped(tarred(good_files()))),
    "U9-zip-in-zip": Odd(
        lambda: inner(zipped(good_files())), codes=frozenset({Code.INNER_ARCHIVE})
    ),
    "names-decoded": Odd(
        with_raw_name("Größe.md".encode("cp437")),
        codes=frozenset({Code.NAMES_DECODED}),
        ignored=frozenset({"unread-type"}),
    ),
    "U6-windows-separators": Odd(with_windows_separators),
    "U11-zip64": Odd(as_zip64),
    "U12-labels-cache": Odd(
        with_file("labels/train.cache", b"\x80\x04cos\nsystem\n"),
        ignored=frozenset({"labels-cache"}),
    ),
    "U12-macos": Odd(
        with_files(**{"__MACOSX/._a": b"x", ".DS_Store": b"x"}),
        ignored=frozenset({"system-metadata"}),
    ),
    "U12-code-and-weights": Odd(
        with_files(**{"best.pt": b"x", "setup.py": b"x", "a.sh": b"x", "README.md": b"x"}),
        ignored=frozenset({"unread-type"}),
    ),
    "U12-pickle": Odd(
        with_file("images/train/0000.npy", npy(np.zeros((2, 2), np.uint8))),
        ignored=frozenset({"not-in-a-split"}),
    ),
    "U12-zip-in-zip": Odd(with_file("old.zip", b"PK\x03\x04"), ignored=frozenset({"unread-type"})),
    "U12-wrapping-folder": Odd(wrapped),
    "U15-cmyk": Odd(with_image(encoded(Image.new("CMYK", (64, 64)), "JPEG"))),
    "U15-animated": Odd(
        with_files(
            **{
                "images/train/0000.jpg": None,
                "images/train/0000.png": encoded(
                    Image.new("L", (64, 64)),
                    save_all=True,
                    append_images=[Image.new("L", (64, 64), 200)],
                ),
            }
        ),
        codes=frozenset({Code.IMAGE_FRAMES}),
    ),
    "U17-crlf-and-bom": Odd(with_label(b"\xef\xbb\xbf" + f"{BOX}\r\n".encode())),
    "U18-absent-class": Odd(every_label(f"{BOX}\n"), codes=frozenset({Code.CLASS_ABSENT})),
    "U20-download": Odd(
        with_yaml(yaml_of(download="import os; os.mkdir('/tmp/x')")),
        codes=frozenset({Code.YAML_DOWNLOAD}),
    ),
    "U20-absolute-root": Odd(
        with_yaml(yaml_of(path="/etc")), codes=frozenset({Code.YAML_ROOT_IGNORED})
    ),
    "U20-own-root": Odd(
        with_yaml(yaml_of(path="datasets/mine")), codes=frozenset({Code.YAML_ROOT_IGNORED})
    ),
    "U20-unknown-keys": Odd(
        with_yaml(yaml.safe_dump({**yaml.safe_load(yaml_of()), "lr0": 1, CANARY: 2})),
        codes=frozenset({Code.YAML_KEY_IGNORED}),
    ),
}
