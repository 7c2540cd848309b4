"""What a search for jobs asks for."""

import re
from dataclasses import dataclass
from typing import Final

from app.core.words import beginnings_of

_ID_BEGINNING: Final = re.compile("job_[0-7][0-9A-HJKMNP-TV-Z]{0,25}", re.IGNORECASE)
_ULID_LENGTH: Final = 26


@dataclass(frozen=True)
class Search:
    """What a search asks for; a job must match all of it.

    Attributes:
        words: beginnings of words of the name, folded.
        tags: tags as key and value, exact.
        ids: for each beginning of a job id, the lowest and the highest id that begins so.
    """

    words: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    ids: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.words) + len(self.tags) + len(self.ids)


def search_of(text: str) -> Search:
    """Return what a search text asks for.

    Its parts are separated by spaces. A part with `=` is a tag (`line=4`), a part that begins with
    `job_` like an id is the beginning of one, and every other part is one or more words.
    """
    words: dict[str, None] = {}
    tags: dict[tuple[str, str], None] = {}
    ids: dict[tuple[str, str], None] = {}
    for part in text.split():
        key, has_value, value = part.partition("=")
        if has_value and key:
            tags[key, value] = None
        elif _ID_BEGINNING.fullmatch(part):
            ids[_id_range(part)] = None
        else:
            words |= dict.fromkeys(beginnings_of(part))
    return Search(tuple(words), tuple(tags), tuple(ids))


def _id_range(beginning: str) -> tuple[str, str]:
    digits = beginning[4:].upper()
    return (f"job_{digits:0<{_ULID_LENGTH}}", f"job_{digits:Z<{_ULID_LENGTH}}")
