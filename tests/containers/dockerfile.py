"""Parse a Dockerfile into its instructions, so that tests can check them."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction: its keyword, such as `RUN`, and the rest with continuation lines joined."""

    keyword: str
    rest: str


@dataclass(frozen=True)
class Dockerfile:
    """Return every instruction of a file, in order."""

    instructions: tuple[Instruction, ...]

    @classmethod
    def read(cls, path: Path) -> "Dockerfile":
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        joined = "\n".join(lines).replace("\\\n", " ")
        parts = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
        return cls(tuple(Instruction(keyword, " ".join(rest.split())) for keyword, rest in parts))

    def all(self, keyword: str) -> list[str]:
        """Return the rest of each instruction with this keyword, from all stages."""
        return [found.rest for found in self.instructions if found.keyword == keyword]

    def stages(self) -> list["Dockerfile"]:
        """Return the instructions after each FROM."""
        starts = [i for i, found in enumerate(self.instructions) if found.keyword == "FROM"]
        ends = [*starts[1:], len(self.instructions)]
        return [
            Dockerfile(self.instructions[start:end])
            for start, end in zip(starts, ends, strict=True)
        ]

    def command(self) -> list[str]:
        """Return ENTRYPOINT and CMD as one argument list; only the exec form parses."""
        words: list[str] = []
        for keyword in ("ENTRYPOINT", "CMD"):
            words += json.loads(self.all(keyword)[-1])
        return words

    def environment(self) -> dict[str, str]:
        """Return the variables that ENV sets in the last stage."""
        pairs = [pair for line in self.stages()[-1].all("ENV") for pair in shlex.split(line)]
        return dict(pair.split("=", 1) for pair in pairs)
