"""Pages as tests read them: the text, the links and the forms of a document."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

from tests.api.browser.browsers import Browser

VOID: Final = frozenset({"input", "link", "meta", "img", "br", "hr", "rect", "path", "circle"})
UNSEEN: Final = frozenset({"script", "style", "title"})


@dataclass
class Element:
    """An element: its name, its attributes, and the text inside."""

    name: str
    attributes: dict[str, str]
    text: str = ""
    inside: tuple[str, ...] = ()


@dataclass
class Document(HTMLParser):
    """A parsed page. It fails for a page that executes what it should show."""

    source: str
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[Element] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        element = Element(tag, attributes, inside=tuple(each.name for each in self._open))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        inside = tuple(each.name for each in self._open)
        self.elements.append(Element(tag, attributes, inside=inside))

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            if self._open.pop().name == tag:
                return

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, element: str, /, **attributes: str) -> list[Element]:
        """Return such elements with these attributes; a class has to be one of several."""
        return [each for each in self.elements if each.name == element and _has(each, attributes)]

    def one(self, element: str, /, **attributes: str) -> Element:
        """Return the only such element."""
        (found,) = self.all(element, **attributes)
        return found

    @property
    def text(self) -> str:
        """What a person reads, without line breaks."""
        seen = [each for each in self.elements if each.name == "body"]
        return " ".join(seen[0].text.split()) if seen else ""

    @property
    def links(self) -> set[str]:
        """The addresses that links lead to."""
        return {each.attributes["href"] for each in self.all("a") if "href" in each.attributes}

    @property
    def actions(self) -> set[str]:
        """The addresses that forms are sent to by POST."""
        forms = self.all("form", method="post")
        return {each.attributes["action"] for each in forms}


def _has(element: Element, wanted: dict[str, str]) -> bool:
    for name, value in wanted.items():
        found = element.attributes.get(name.rstrip("_").replace("_", "-"))
        if found is None:
            return False
        if value not in (found.split() if name == "class_" else [found]):
            return False
    return True


def opened(browser: Browser, path: str, *, status: int = 200) -> Document:
    """Open a page and return it; its status has to be `status`."""
    answer = browser.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text
    return Document(answer.text)


def submitted(browser: Browser, path: str, **fields: str | list[str]) -> "Sent":
    """Send a form as a browser does, and return the answer without following it."""
    answer = browser.client.post(
        path, data=fields, headers={"Accept": "text/html"}, follow_redirects=False
    )
    return Sent(answer.status_code, answer.headers.get("location", ""), answer.text)


@dataclass(frozen=True)
class Sent:
    """The answer to a form."""

    status: int
    location: str
    source: str

    @property
    def page(self) -> Document:
        """The page in the answer."""
        return Document(self.source)
