"""Load the accepted subset of YAML, with every value as the text that was written.

YAML reads `no`, `2024-01-01` and `3.5` as other types than text; as class names they are text.
Aliases of more than a short text, tags, deep nesting and repeated keys are refused: they appear
only in an attack or by mistake.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from app.core.plain_text import shown

MAX_YAML_BYTES: Final = 4 * 1024 * 1024
MAX_YAML_DEPTH: Final = 12
MAX_ALIASED_CHARACTERS: Final = 1000
"""Of a text that aliases repeat; a longer one, many times, would be more than was sent."""


class YamlRefusedError(Exception):
    """The text is not in the accepted subset of YAML; `line` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass
class _Nesting:
    """Checks YAML events and refuses what appears only in an attack or by mistake."""

    depth: int = 0
    short_texts: set[str] = field(default_factory=set)

    def follow(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else None
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            self._follow_anchor(event, event.anchor, line)
        if getattr(event, "tag", None):
            raise YamlRefusedError("Tags (!) are not supported.", line)
        if isinstance(event, yaml.CollectionStartEvent):
            self.depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            self.depth -= 1
        if self.depth > MAX_YAML_DEPTH:
            raise YamlRefusedError(f"More than {MAX_YAML_DEPTH} levels are not supported.", line)

    def _follow_anchor(self, event: yaml.NodeEvent, anchor: str, line: int | None) -> None:
        if isinstance(event, yaml.ScalarEvent) and len(event.value) <= MAX_ALIASED_CHARACTERS:
            self.short_texts.add(anchor)
        elif not (isinstance(event, yaml.AliasEvent) and anchor in self.short_texts):
            message = "Anchors and aliases (& and *) are supported for short texts alone."
            raise YamlRefusedError(message, line)


def load_plain_yaml(text: str, *, may_repeat: bool = False) -> dict[str, Any]:
    """Return the mapping in `text`. Its keys are unique; keys and values are text, as written.

    A key that appears again with the same value is refused unless it `may_repeat`.

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
        _refuse_repeated_keys([node] if node else [], may_repeat=may_repeat)
        loaded = yaml.load(text, Loader=yaml.CBaseLoader)  # noqa: S506 -- builds text, lists, dicts
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise YamlRefusedError(shown(f"It is not valid YAML: {error.problem}."), line) from error
    except (yaml.YAMLError, ValueError) as error:
        raise YamlRefusedError(shown(f"It cannot be read: {error}.")) from error
    if not isinstance(loaded, dict):
        raise YamlRefusedError("Keys with values are expected, such as `train: images/train`.")
    return loaded


def _refuse_repeated_keys(nodes: Iterable[yaml.Node], *, may_repeat: bool) -> None:
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.SequenceNode):
            pending.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            seen: dict[str, yaml.Node] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise YamlRefusedError("A key must be one word.", key.start_mark.line + 1)
                if key.value in seen and not (may_repeat and _are_equal(seen[key.value], value)):
                    line = key.start_mark.line + 1
                    raise YamlRefusedError(f"The key {shown(key.value)!r} appears twice.", line)
                seen[key.value] = value
                pending.append(value)


def _are_equal(one: yaml.Node, other: yaml.Node) -> bool:
    serialized: list[str] = [yaml.serialize(each) for each in (one, other)]
    return serialized[0] == serialized[1]
