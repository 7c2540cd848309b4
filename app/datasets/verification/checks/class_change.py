"""Give label rows and masks the class numbers that they have after classes were renamed or merged.

A row keeps its coordinates as they were written. A row with a class that the dataset does not have
stays as it is: after the change its class is unknown, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from app.datasets.verification.dataset_yaml import IGNORED_ID

IDS: Final = 256


@dataclass(frozen=True)
class ClassChange:
    """The names of the classes before and after, and the new number of each old class.

    None is the number of a class whose objects are dropped.
    """

    before: tuple[str, ...]
    names: tuple[str, ...]
    numbers: tuple[int | None, ...]

    @classmethod
    def of(cls, names: Sequence[str], new_names: Mapping[str, str | None]) -> "ClassChange":
        """Rename classes; those with one new name become one, in the order of first appearance."""
        renamed = [new_names.get(name, name) for name in names]
        kept = tuple(dict.fromkeys(name for name in renamed if name is not None))
        places = {name: number for number, name in enumerate(kept)}
        numbers = tuple(None if name is None else places[name] for name in renamed)
        return cls(tuple(names), kept, numbers)

    @property
    def changes_numbers(self) -> bool:
        """Whether any object gets another number or is dropped."""
        return self.numbers != tuple(range(len(self.numbers)))

    @cached_property
    def _tokens(self) -> dict[str, str | None]:
        """The class as it is usually written, and how it is written afterwards."""
        return {str(old): None if new is None else str(new) for old, new in enumerate(self.numbers)}

    def labels(self, content: bytes) -> bytes:
        """Return a label file; a dropped row becomes an empty line, so that lines keep numbers."""
        return self._renumbered(content, str.splitlines, dropped="\n")

    def rows(self, rows: bytes) -> bytes:
        """Return label rows that were converted from another format, without the dropped ones."""
        return self._renumbered(rows, lambda text: text.split("\n")[:-1], dropped="")

    def _renumbered(
        self, content: bytes, lines_of: Callable[[str], list[str]], *, dropped: str
    ) -> bytes:
        if not self.changes_numbers:
            return content
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content
        lines = (self._line(line) for line in lines_of(text))
        return "".join(dropped if line is None else f"{line}\n" for line in lines).encode()

    def _line(self, line: str) -> str | None:
        token, *_ = line.split(None, 1) or [""]
        new = self._tokens[token] if token in self._tokens else self._slowly(token)
        if new == token or new is None:
            return None if new is None else line
        return new + line.lstrip()[len(token) :]

    def _slowly(self, token: str) -> str | None:
        """Return the new class of one that is written otherwise, such as `1.0`, or the same."""
        try:
            with np.errstate(over="ignore"):
                number = float(np.float32(token))
        except ValueError:
            return token
        if not number.is_integer() or not 0 <= number < len(self.numbers):
            return token
        new = self.numbers[int(number)]
        if new == number:
            return token
        return None if new is None else str(new)

    def ids(self) -> npt.NDArray[np.uint8] | None:
        """Return the new id of each id of a mask, or None if they stay.

        A dropped class becomes 255, which training ignores. Where one class is left, 0 is its
        background and 1 the class, as Ultralytics reads it (8.4.190, data/dataset.py:969), so a
        dropped class becomes background.
        """
        if not self.changes_numbers:
            return None
        table = np.arange(IDS, dtype=np.uint8)
        is_single = len(self.names) == 1
        for old, new in enumerate(self.numbers[:IGNORED_ID]):
            if new is None:
                table[old] = 0 if is_single else IGNORED_ID
            else:
                table[old] = 1 if is_single else new
        return table
