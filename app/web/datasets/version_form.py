"""The form of a version that is read with other options: its fields, and the request they mean."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.web.datasets.dataset_words import shares_of
from app.web.forms import Form

MOST_ROWS: Final = 200
"""Classes that the form lists; of more, it takes the JSON of `class_map`."""
PLAIN: Final = ("task", "policy", "splits", "data_yaml")
DROPPED: Final = "yes"

Fields = Mapping[str, str]


@dataclass(frozen=True)
class ClassField:
    """The fields of one class: its name in the archive, its new name, and whether it is dropped."""

    number: int
    old: str
    new: str
    is_dropped: bool


def fields_of(options: Mapping[str, Any], classes: Sequence[str]) -> dict[str, str]:
    """Return the fields of the form as they are at first.

    Args:
        options: of the version that is read again.
        classes: of this version.
    """
    fields = {name: str(options[name]) for name in PLAIN if name in options}
    if "splits" in options:
        fields["splits"] = shares_of(options["splits"])
    if "max_bad_ratio" in options:
        fields["max_bad_ratio"] = f"{options['max_bad_ratio']:g}"
    fields["names"] = "\n".join(options.get("names", []))
    if "colours" in options:
        fields["colours"] = json.dumps(options["colours"], ensure_ascii=False)
    return fields | _class_fields(options.get("class_map", {}), classes)


def _class_fields(class_map: Mapping[str, str | None], classes: Sequence[str]) -> dict[str, str]:
    others = [name for name in dict.fromkeys(classes) if name not in class_map]
    if len(class_map) + len(others) > MOST_ROWS:
        written = json.dumps(class_map, ensure_ascii=False) if class_map else ""
        return {"class_map": written}
    fields = {}
    for number, name in enumerate([*class_map, *others]):
        fields[f"old.{number}"] = name
        if name in class_map and class_map[name] is None:
            fields[f"drop.{number}"] = DROPPED
        fields[f"new.{number}"] = class_map.get(name) or ""
    return fields


def class_fields(fields: Fields) -> Iterator[ClassField]:
    """Yield the classes that the form lists."""
    for number in range(MOST_ROWS):
        old = fields.get(f"old.{number}")
        if old is None:
            return
        new = fields.get(f"new.{number}", "")
        yield ClassField(number, old, new, is_dropped=f"drop.{number}" in fields)


def body_of(form: Form) -> dict[str, Any]:
    """Return the options that a sent form means; what is empty is left out.

    A value that is no number or no JSON goes to the API as text, which says what is expected.
    """
    body: dict[str, Any] = {name: form.one(name) for name in PLAIN if form.one(name)}
    if form.one("max_bad_ratio"):
        body["max_bad_ratio"] = _read(form.one("max_bad_ratio"))
    names = [line.strip() for line in form.one("names").splitlines() if line.strip()]
    if names:
        body["names"] = names
    if form.one("colours"):
        body["colours"] = _read(form.one("colours"))
    class_map = _read(form.one("class_map")) if form.one("class_map") else _mapped(form)
    if class_map:
        body["class_map"] = class_map
    return body


def _mapped(form: Form) -> dict[str, str | None]:
    mapped: dict[str, str | None] = {}
    for each in class_fields(form.values()):
        new = each.new.strip()
        if each.is_dropped:
            mapped[each.old] = None
        elif new and new != each.old:
            mapped[each.old] = new
    return mapped


def _read(text: str) -> Any:  # noqa: ANN401 -- any JSON document
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
