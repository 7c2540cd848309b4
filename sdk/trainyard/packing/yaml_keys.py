"""The keys at the top of a data.yaml whose values are paths, and their place in the text.

The server reads the rest of the file. So only what decides which files are sent is read here: texts
and lists of texts behind keys at the beginning of a line.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

KEY: Final = re.compile(r"""(?P<quote>["']?)(?P<key>[A-Za-z_][\w-]*)(?P=quote)\s*:(?=\s|$)""")
NOTHING: Final = frozenset({"", "~", "null", "Null", "NULL"})
BLOCK_MARKS: Final = ("|", ">", "{", "&", "*", "!")


class YamlError(ValueError):
    """A value that is needed is written in a way that is not read here; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Entry:
    """A key with the text of its value.

    Args:
        key: the key.
        first: index of its line.
        end: index of the first line behind its value.
        text: the value as written, without comments.
    """

    key: str
    first: int
    end: int
    text: str

    def paths(self) -> list[str]:
        """Return the value as a list of texts; empty if it is null.

        Raises:
            YamlError: it is neither a text nor a list of texts.
        """
        text = self.text.strip()
        if text.startswith(BLOCK_MARKS):
            raise YamlError(self.first + 1, f"`{self.key}` is expected to be a path or a list.")
        if text.startswith("["):
            return [self._scalar(each) for each in _flow_items(text)]
        if text.startswith("- ") or text == "-":
            items = [line.strip() for line in text.splitlines() if line.strip()]
            return [self._scalar(each.removeprefix("-").strip()) for each in items]
        return [] if text in NOTHING else [self._scalar(text)]

    def _scalar(self, text: str) -> str:
        if text.startswith("'") and text.endswith("'") and len(text) > 1:
            return text[1:-1].replace("''", "'")
        if text.startswith('"'):
            try:
                return str(json.loads(text))
            except ValueError:
                raise YamlError(self.first + 1, f"`{self.key}`: {text} is not read.") from None
        if "\n" in text or text.startswith(("{", "&", "*", "!", "- ", "[")):
            raise YamlError(self.first + 1, f"`{self.key}` is expected to be a path or a list.")
        return text


def entries_of(text: str) -> dict[str, Entry]:
    """Return the keys at the top of a YAML text; the last one counts if a key is repeated."""
    lines = text.splitlines()
    found: dict[str, Entry] = {}
    index = 0
    while index < len(lines):
        match = KEY.match(lines[index])
        if match is None:
            index += 1
            continue
        end = _end_of_value(lines, index, match.end())
        head = _without_comment(lines[index][match.end() :])
        below = [_without_comment(line) for line in lines[index + 1 : end]]
        value = "\n".join(line for line in [head, *below] if line.strip())
        found[match["key"]] = Entry(match["key"], index, end, value)
        index = end
    return found


def without(text: str, entries: "list[Entry]") -> str:
    """Return a text without the lines of some entries."""
    left_out = {line for entry in entries for line in range(entry.first, entry.end)}
    kept = [line for index, line in enumerate(text.splitlines()) if index not in left_out]
    return "\n".join([*kept, ""])


def _end_of_value(lines: list[str], first: int, start: int) -> int:
    depth = _depth(lines[first][start:])
    end = first + 1
    while end < len(lines) and (depth > 0 or _continues(lines[end])):
        depth += _depth(lines[end])
        end += 1
    while end > first + 1 and not _without_comment(lines[end - 1]).strip():
        end -= 1
    return end


def _continues(line: str) -> bool:
    plain = line.strip()
    return not plain or line[0] in " \t#" or plain == "-" or line.startswith("- ")


def _depth(line: str) -> int:
    plain = re.sub(r"'[^']*'|\"(?:\\.|[^\"\\])*\"", "", _without_comment(line))
    return plain.count("[") + plain.count("{") - plain.count("]") - plain.count("}")


def _without_comment(line: str) -> str:
    quote = ""
    for index, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and (index == 0 or line[index - 1] in " \t[,:-"):
            quote = character
        elif character == "#" and (index == 0 or line[index - 1] in " \t"):
            return line[:index].rstrip()
    return line.rstrip()


def _flow_items(text: str) -> list[str]:
    inner = text.strip().removeprefix("[").removesuffix("]").replace("\n", " ")
    pattern = r"""\s*('(?:[^']|'')*'|"(?:\\.|[^"\\])*"|[^,]*)\s*(?:,|$)"""
    found = [match.group(1).strip() for match in re.finditer(pattern, inner)]
    return [each for each in found if each]
