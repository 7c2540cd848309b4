"""Reads the arguments of a training as people have them: args.yaml, `yolo train …`, key=value."""

import ast
import re
import shlex
from dataclasses import dataclass, field
from typing import Final

from app.core.errors import FieldError, Invalid
from app.core.plain_text import shown
from app.core.plain_yaml import YamlRefusedError, load_plain_yaml
from app.core.tasks import TASKS

MAX_CHARACTERS: Final = 64 * 1024
MAX_ARGUMENTS: Final = 400
MAX_LITERAL: Final = 4000
"""Characters of a value that can be a number or a list; a longer one is text."""
MAX_SHOWN: Final = 100

MODES: Final = frozenset({"train", "val", "predict", "export", "track", "benchmark"})
EXAMPLE: Final = "yolo train model=yolo26n.pt data=coco8.yaml epochs=100"

_PROMPT: Final = re.compile(r"\s*(?:[$%!>]\s*)?(?=yolo\b)")
_CONTINUED: Final = re.compile(r"[\\^`]\r?\n")
_YAML_LINE: Final = re.compile(r"(?m)^[A-Za-z_][A-Za-z0-9_]*[ \t]*:(?:[ \t]|$)")

Literal = str | int | float | bool | list["Literal"] | None


class NothingToParse(Invalid):
    """The text has no arguments, or is in none of the three forms."""

    slug, title = "nothing-to-parse", "The text has no training arguments"

    def __init__(self, message: str) -> None:
        message = f"{message} Send an args.yaml, a command such as `{EXAMPLE}`, or key=value pairs."
        super().__init__(message, errors=[FieldError("", "nothing-to-parse", message)])


class NotATraining(Invalid):
    """The command or file belongs to another mode of Ultralytics."""

    slug, title = "not-a-training", "The text does not describe a training"


@dataclass
class WrittenArguments:
    """Arguments by their name, as they were written, and words that are no argument.

    `lists_all`: the text is a file such as args.yaml, in which most values are defaults.
    """

    arguments: dict[str, str | list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    lists_all: bool = False


def read_arguments(text: str) -> WrittenArguments:
    """Return the arguments in a text; of a repeated one the last.

    Raises:
        NothingToParse: the text is empty, too long, or in none of the forms.
        NotATraining: it names another mode than training.
    """
    if len(text) > MAX_CHARACTERS:
        raise NothingToParse(f"It has more than {MAX_CHARACTERS} characters.")
    is_command = _PROMPT.match(text) is not None
    written = _of_yaml(text) if not is_command and _YAML_LINE.search(text) else _of_words(text)
    mode = written.arguments.pop("mode", "train")
    if mode != "train":
        raise NotATraining(
            f"Its mode is {shown(str(mode), limit=MAX_SHOWN)}; only trainings become jobs."
        )
    if not written.arguments:
        raise NothingToParse("No argument was found.")
    if len(written.arguments) + len(written.words) > MAX_ARGUMENTS:
        raise NothingToParse(f"It has more than {MAX_ARGUMENTS} arguments.")
    return written


def literal_of(text: str | list[str]) -> Literal:
    """Return a written value as Ultralytics reads it (`smart_value`), or as text.

    Only null, booleans, numbers and lists of them are anything else than text.
    """
    if isinstance(text, list):
        return [literal_of(item) for item in text]
    lowered = text.strip().lower()
    if lowered in {"", "none", "null", "~"}:
        return None
    if lowered in {"true", "false"}:
        return lowered == "true"
    if len(text) > MAX_LITERAL:
        return text
    try:
        return _plain(ast.literal_eval(text.strip()), text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text  # also numbers with more digits than Python writes, and sets of lists


def _plain(value: object, text: str) -> Literal:
    if isinstance(value, tuple | list):
        items = [_plain(item, str(item)) for item in value]
        return text if any(isinstance(item, list) for item in items) else items
    return value if value is None or isinstance(value, bool | int | float) else text


def _of_yaml(text: str) -> WrittenArguments:
    try:
        loaded = load_plain_yaml(text)
    except YamlRefusedError as error:
        where = f"Line {error.line}: " if error.line else ""
        raise NothingToParse(f"{where}{error}") from None
    written = WrittenArguments(lists_all=True)
    for name, value in loaded.items():
        if isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            written.arguments[_name(name)] = value
        else:
            written.words.append(name)
    return written


def _of_words(text: str) -> WrittenArguments:
    """Read words as Ultralytics' command line does, and flags such as `--imgsz 640` as well."""
    written = WrittenArguments()
    for word in _without_flags(_split(text)):
        name, equals, value = word.partition("=")
        if equals and name:
            written.arguments[_name(name)] = value
        elif word in TASKS or word in MODES:
            written.arguments["mode" if word in MODES else "task"] = word
        else:
            written.words.append(word)
    return written


def _without_flags(words: list[str]) -> list[str]:
    """Write `--imgsz 640` as `imgsz=640`, and a flag without a value as `plots=true`."""
    rewritten: list[str] = []
    flag: str | None = None
    for word in [*words, "--"]:
        is_value = not word.startswith("--") and "=" not in word
        if flag is not None:
            rewritten.append(f"{flag}={word if is_value else 'true'}")
            if is_value:
                flag = None
                continue
        flag = word[2:] if word.startswith("--") and "=" not in word else None
        if flag is None:
            rewritten.append(word.removeprefix("--"))
    return rewritten


def _split(text: str) -> list[str]:
    prompt = _PROMPT.match(text)  # a search would try each of many spaces as its beginning
    command = text[prompt.end() :] if prompt else text
    lexer = shlex.shlex(_CONTINUED.sub(" ", command), posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    lexer.escape = ""  # a backslash is a part of a path on Windows
    try:
        words = list(lexer)
    except ValueError as error:
        raise NothingToParse(f"A quotation mark is open: {error}.") from None
    words = words[1:] if words[:1] == ["yolo"] else words
    return _joined_at_equals([word.rstrip(",") for word in words])


def _joined_at_equals(words: list[str]) -> list[str]:
    """Join `epochs = 3`, `epochs =3` and `epochs= 3` to one word, as Ultralytics does."""
    joined: list[str] = []
    for word in filter(None, words):
        if joined and (joined[-1].endswith("=") or word.startswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _name(name: str) -> str:
    return name.strip().lower().replace("-", "_")
