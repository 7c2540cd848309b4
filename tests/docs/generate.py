"""Writes the generated parts of docs/: `python -m tests.docs.generate`.

A part is between `<!-- generated: NAME -->` and `<!-- end: NAME -->`; the rest is handwritten.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.architecture.sources import ROOT
from tests.docs import (
    customize_blocks,
    decision_blocks,
    job_blocks,
    loop_blocks,
    problem_blocks,
    service_blocks,
)

DOCS: Final = ROOT / "docs"
BLOCK: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end: (?P=name) -->)",
    re.DOTALL,
)
BLOCKS: Final[dict[str, Callable[[], str]]] = {
    "diagram": job_blocks.diagram,
    "transitions": job_blocks.transitions,
    "unchanged": job_blocks.unchanged,
    "user-events": job_blocks.user_events,
    "end-reasons": job_blocks.end_reasons,
    "spec-fields": job_blocks.spec_fields,
    "train-fields": job_blocks.train_fields,
    "refused-arguments": job_blocks.refused_arguments,
    "overridden-arguments": job_blocks.overridden_arguments,
    "architectures": job_blocks.architectures,
    "chosen-metrics": customize_blocks.chosen_metrics,
    "customize-fields": customize_blocks.customize_fields,
    "decisions": decision_blocks.decisions,
    "problems": problem_blocks.problems,
    "routes": service_blocks.routes,
    "settings": service_blocks.settings,
    "finding-codes": service_blocks.finding_codes,
    "yaml-keys": service_blocks.yaml_keys,
    "archive-limits": service_blocks.archive_limits,
    "training-loop": loop_blocks.loop,
    "acting-classes": loop_blocks.acting_classes,
}


def generated(text: str) -> str:
    """Return a document with its generated parts updated from the code.

    Raises:
        KeyError: the document has a part without a generator.
    """
    return BLOCK.sub(
        lambda found: f"{found['begin']}{BLOCKS[found['name']]()}\n{found['end']}", text
    )


def documents() -> list[Path]:
    """Return every document that has generated parts."""
    return [path for path in sorted(DOCS.rglob("*.md")) if parts_of(path.read_text())]


def parts_of(text: str) -> set[str]:
    """Return the names of the generated parts of a document."""
    return {found["name"] for found in BLOCK.finditer(text)}


def main() -> None:
    """Rewrite every document whose generated parts are out of step."""
    for path in documents():
        text = path.read_text()
        if (fresh := generated(text)) != text:
            path.write_text(fresh)


if __name__ == "__main__":
    main()
