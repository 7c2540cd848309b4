"""Load the accepted subset of YAML, with every value as the text that was written.

YAML reads `no`, `2024-01-01` and `3.5` as other types than text; as class names they are text.
Aliases, tags, deep nesting and repeated keys are refused: they appear only in an attack or by
mistake.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from app.core.plain_text import shown

MAX_YAML_BYTES: Final = 4 * 1024 * 1024
MAX_YAML_DEPTH: Final = 12


class YamlRefusedError(Exception):
    """The text is not in the accepted subset of YAML; `line` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class _Nesting:
    """Checks YAML events and refuses what appears only in an attack or by mistake."""

    depth: int = 0

    def follow(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise YamlRefusedError("Anchors and aliases (& and *) are not supported.", line)
        if getattr(event, "tag", None):
            raise YamlRefusedError("Tags (!) are not supported.", line)
        if isinstance(event, yaml.CollectionStartEvent):
            self.depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            self.depth -= 1
        if self.depth > MAX_YAML_DEPTH:
            raise YamlRefusedError(f"More than {MAX_YAML_DEPTH} levels are not supported.", line)


def load_plain_yaml(text: str) -> dict[str, Any]:
    """Return the mapping in `text`. Its keys are unique; keys and values are text, as written.

    Raises:
        YamlRefusedError: the text is too large, is not YAML or not a mapping, or uses a refused
            feature.
    """
    if len(text) > MAX_YAML_BYTES:
        raise YamlRefusedError(f"It has more than {MAX_YAML_BYTES} characters.")
    try:
        nesting = _Nesting()
        for event in yaml.parse(text, Loader=yaml.CBaseLoader):
            nesting.follow(event)
        node = yaml.compose(text, Loader=yaml.CBaseLoader)
        _refuse_repeated_keys([node] if node else [])
        loaded = yaml.load(text, Loader=yaml.CBaseLoader)  # noqa: S506 -- builds text, lists, dicts
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise YamlRefusedError(shown(f"It is not valid YAML: {error.problem}."), line) from error
    except (yaml.YAMLError, ValueError) as error:
        raise YamlRefusedError(shown(f"It cannot be read: {error}.")) from error
    if not isinstance(loaded, dict):
        raise YamlRefusedError("Keys with values are expected, such as `train: images/train`.")
    return loaded


def _refuse_repeated_keys(nodes: Iterable[yaml.Node]) -> None:
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise YamlRefusedError("A key must be one word.", key.start_mark.line + 1)
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise YamlRefusedError(f"The key {shown(key.value)!r} appears twice.", line)
                seen.add(key.value)
                pending.append(value)
