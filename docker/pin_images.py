"""Add to each image the digest that its tag has in its registry: `python:3.11` → `python:3.11@…`.

A tag can be moved to other bytes, a digest cannot. An image that has a digest already gets the
tag's newest one. Our own images, which have no tag, stay as they are.

    python docker/pin_images.py FILE…
"""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

IMAGE = re.compile(
    r"^(?P<before>FROM |\s+image: )(?P<name>[\w./-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?",
    re.MULTILINE,
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(image: str) -> str:
    """Return the digest of an image's tag, from the registry, by the docker command.

    Raises:
        SystemExit: docker does not answer with a digest.
    """
    command = ["docker", "buildx", "imagetools", "inspect", "--format"]
    asked = subprocess.run(
        [*command, "{{.Manifest.Digest}}", image], capture_output=True, text=True, check=False
    )
    digest = asked.stdout.strip()
    if asked.returncode != 0 or not DIGEST.fullmatch(digest):
        sys.exit(f"docker gave no digest for {image}: {asked.stderr.strip() or digest}")
    return digest


def pinned(text: str, digest: Callable[[str], str]) -> str:
    """Return a Dockerfile's or compose file's text with the digest of each image."""
    return IMAGE.sub(
        lambda image: f"{image['before']}{image['name']}@{digest(image['name'])}", text
    )


def main(paths: list[str]) -> None:
    """Pin the images of these files; either every file is written or none."""
    texts = {Path(path): pinned(Path(path).read_text(), digest_of) for path in paths}
    for path, text in texts.items():
        path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
