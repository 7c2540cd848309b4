"""What a list of jobs shows: filters, order and page, all of them in its address."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlencode

from app.web.words import STATES

PHRASES: Final = {
    "q": "named \N{LEFT SINGLE QUOTATION MARK}{}\N{RIGHT SINGLE QUOTATION MARK}",
    "project": "in the project {}",
    "dataset": "trained on {}",
    "model": "based on {}",
    "best_metric": "ranked by {}",
    "ended_after": "ended since then",
    "trashed": "in the trash",
}
"""The filters beside the state, and what they say about a job."""
NEWEST_FIRST: Final = "-created"


@dataclass(frozen=True)
class ListQuery:
    """The parameters of a list, as the API takes them.

    Attributes:
        states: only jobs in these states; all, if there are none.
        filters: the other filters by name.
        sort: the order.
        cursor: of a later page; empty for the first one.
    """

    states: tuple[str, ...]
    filters: Mapping[str, str]
    sort: str
    cursor: str

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """Return the query in an address; parameters that a list does not have are left out."""
        given = [(name, value.strip()) for name, value in pairs]
        last = {name: value for name, value in given if value}
        return cls(
            states=tuple(
                dict.fromkeys(value for name, value in given if name == "state" and value)
            ),
            filters={name: last[name] for name in PHRASES if name in last},
            sort=last.get("sort", NEWEST_FIRST),
            cursor=last.get("cursor", ""),
        )

    @property
    def is_trash(self) -> bool:
        """Whether it lists the trash."""
        return self.filters.get("trashed") == "true"

    @property
    def is_everything(self) -> bool:
        """Whether it lists all jobs outside the trash."""
        return not self.states and not self.filters and not self.cursor

    @property
    def is_grouped(self) -> bool:
        """Whether active jobs come first; any other order than the default makes one list."""
        return self.sort == NEWEST_FIRST and not self.is_trash

    @property
    def can_compare(self) -> bool:
        """Whether the best values of the jobs are comparable, so that they can be an order."""
        return "dataset" in self.filters or "best_metric" in self.filters

    @property
    def address(self) -> dict[str, Any]:
        """The parameters without the page, for links that change some of them."""
        sort = {} if self.sort == NEWEST_FIRST else {"sort": self.sort}
        return {**({"state": list(self.states)} if self.states else {}), **self.filters, **sort}

    @property
    def text(self) -> str:
        """The parameters as an address has them, for a form that comes back to this view."""
        return urlencode({**self.address, **self.page}, doseq=True)

    @property
    def page(self) -> dict[str, str]:
        """The parameter of the page; none for the first one."""
        return {"cursor": self.cursor} if self.cursor else {}

    def without_hit(self, dataset_names: Mapping[str, str]) -> str:
        """Return the sentence that says that no job matches.

        Args:
            dataset_names: by id.
        """
        states = " or ".join(STATES.get(state, state).lower() for state in self.states)
        shown = dict(self.filters)
        if "dataset" in shown:
            shown["dataset"] = dataset_names.get(shown["dataset"], shown["dataset"])
        parts = [PHRASES[name].format(value) for name, value in shown.items()]
        return f"No job is {_listed([states, *parts] if states else parts)}."


def _listed(parts: list[str]) -> str:
    *first, last = parts or ["here"]
    return f"{', '.join(first)} and {last}" if first else last
