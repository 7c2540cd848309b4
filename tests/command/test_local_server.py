"""`--up` on a machine on which no server runs: one starts, and stays."""

import re
import zipfile

import psutil

from tests.browser.site import a_free_port
from tests.command.typed import Person
from tests.datasets.builders import a_detect_zip


def test_up_starts_a_server_in_a_new_home_that_later_verbs_find(nobody: Person) -> None:
    archive = a_detect_zip(nobody.folder / "shapes.zip", train=2, val=2)
    with zipfile.ZipFile(archive) as members:
        members.extractall(nobody.folder / "shapes")
    nobody.environment["TRAINYARD_PORT"] = str(a_free_port())
    words = ("data=shapes", "model=yolo26n.yaml", "epochs=1", "imgsz=32")

    submitted = nobody.types("submit", *words, "--up")
    pids = re.findall(r"kill (\d+)", submitted.stderr)
    try:
        listed = nobody.types("jobs")
    finally:
        for pid in pids:
            server = psutil.Process(int(pid))
            server.terminate()
            server.wait(60)

    assert submitted.returncode == 0, submitted.stderr
    assert submitted.stdout.strip() in listed.stdout
    log = nobody.folder / "home" / "instance" / "run" / "up.log"
    assert log.stat().st_mode & 0o077 == 0
