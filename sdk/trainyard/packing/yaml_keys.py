"""The keys at the top of a data.yaml whose values are paths, and their place in the text.

The server reads the rest of the file as it was written. So only paths are read here, and nothing
else of the text changes.
"""

import re
from dataclasses import dataclass
from typing import Final

import yaml

SURROGATES: Final = {0xDC80 + n: 0xF780 + n for n in range(128)}
"""Bytes that are not UTF-8, as characters that YAML may have."""
BACK: Final = {new: old for old, new in SURROGATES.items()}
UNREADABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters, which Ultralytics removes before it reads the text."""
NULL: Final = "tag:yaml.org,2002:null"


class YamlError(ValueError):
    """The text or a value cannot be read; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Entry:
    """A key with its value.

    Args:
        key: the key.
        first: index of its first character in the text.
        end: index behind the last line of its value.
        value: as YAML reads it.
    """

    key: str
    first: int
    end: int
    value: yaml.Node

    def paths(self) -> list[str]:
        """Return the value as a list of texts; empty if it is null.

        Raises:
            YamlError: it is neither a text nor a list of texts.
        """
        if self.value.tag == NULL:
            return []
        items = self.value.value if isinstance(self.value, yaml.SequenceNode) else [self.value]
        if not all(isinstance(each, yaml.ScalarNode) for each in items):
            line = self.value.start_mark.line + 1
            raise YamlError(line, f"`{self.key}` is expected to be a path or a list.")
        return [str(each.value).translate(BACK) for each in items]


def entries_of(text: str) -> dict[str, Entry]:
    """Return the keys at the top of a YAML text; the last one counts if a key is repeated.

    Raises:
        YamlError: the text is no YAML, or its keys are not on lines of their own.
    """
    plain = UNREADABLE.sub(" ", text.translate(SURROGATES))
    try:
        root = yaml.compose(plain, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(mark.line + 1 if mark else 1, f"it is no YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise YamlError(1, f"it is no YAML: {error}") from None
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode) or root.flow_style or root.start_mark.column:
        raise YamlError(1, "begin a line with each key, such as `train: images/train`.")
    return {
        key.value: Entry(key.value, key.start_mark.index, _end_of_line(plain, key, value), value)
        for key, value in root.value
        if isinstance(key, yaml.ScalarNode)
    }


def _end_of_line(text: str, key: yaml.Node, value: yaml.Node) -> int:
    """Return the index behind the line on which a value ends, with its comment."""
    last = value.end_mark.index
    if value.end_mark.line > key.start_mark.line and value.end_mark.column == 0:
        return int(last)  # blocks end where the next key begins
    newline = text.find("\n", last)
    return len(text) if newline < 0 else newline + 1


def without(text: str, entries: list[Entry]) -> str:
    """Return a text without some entries, with a line end behind its last line."""
    kept, at = [], 0
    for entry in sorted(entries, key=lambda each: each.first):
        kept.append(text[at : entry.first])
        at = entry.end
    rest = "".join([*kept, text[at:]])
    return rest if rest.endswith("\n") or not rest else f"{rest}\n"
