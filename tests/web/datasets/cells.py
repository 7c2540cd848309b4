"""Tables of pages as lists of cells."""

from tests.web.jobs.pages import Document

HEADS = frozenset({"h1", "h2", "h3"})


def rows_below(page: Document, heading: str = "") -> list[list[str]]:
    """Return the rows of the tables below a heading, up to the next one; without one, of all."""
    rows: list[list[str]] = []
    is_below, is_body = not heading, False
    for each in page.elements:
        if heading and each.name in HEADS:
            is_below = _words(each.text) == heading
        elif each.name in {"thead", "tbody"}:
            is_body = each.name == "tbody"
        elif is_below and is_body and each.name == "tr":
            rows.append([])
        elif is_below and is_body and each.name in {"td", "th"}:
            rows[-1].append(_words(each.text))
    return rows


def _words(text: str) -> str:
    return " ".join(text.split())
