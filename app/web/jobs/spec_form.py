"""The form of a new job: its fields become a job spec, and a job spec fills its fields.

Each field of the form has one name, such as `train.lr0` or `freeze.layers`. A value is sent to the
API as it was typed where it is not JSON, so that the API alone judges it. What the form has no
field for, such as `keep_best`, is JSON in the field `more`, which is merged into the spec.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.web.forms import Form

Spec = dict[str, Any]

PLAIN: Final = ("name", "project", "dataset", "model", "notes")
NUMBERS: Final = ("priority", "max_restarts", "timeout_hours")
TICKS: Final = ("metrics", "weights", "best", "freeze", "rates")
FIELD_OF_POINTER: Final = (
    (r"/train/([^/]+).*", r"train.\1"),
    (r"/customize/freeze/layers.*", "freeze.layers"),
    (r"/customize/freeze.*", "freeze.epochs"),
    (r"/customize/class_weights/power", "weights.power"),
    (r"/customize/class_weights/cap", "weights.cap"),
    (r"/customize/class_weights.*", "weights.given"),
    (r"/customize/best_model.*", "best.metric"),
    (r"/customize/layer_lrs/(\d+)/factor.*", r"rates.factor.\1"),
    (r"/customize/layer_lrs/(\d+).*", r"rates.layers.\1"),
    (r"/customize/layer_lrs.*", "rates.layers.0"),
    (r"/resources/(\w+)", r"resources.\1"),
    (r"/tags.*", "tags"),
    (r"/(name|project|dataset|model|notes|priority|max_restarts|timeout_hours)", r"\1"),
)
"""Which field of the form shows the error at a pointer; the first pattern that fits decides."""


@dataclass
class SpecForm:
    """The text in the fields of the form.

    Attributes:
        values: of fields with one value, by name.
        rates: pairs of layers and factor.
        more: what has no field, as JSON text.
    """

    values: dict[str, str] = field(default_factory=dict)
    rates: list[tuple[str, str]] = field(default_factory=list)
    more: str = ""

    def get(self, name: str) -> str:
        """Return the value of a field; empty if there is none."""
        return self.values.get(name, "")


def sent_form(form: Form) -> SpecForm:
    """Return the fields as a browser sent them."""
    pairs = list(zip(form.all("rates.layers"), form.all("rates.factor"), strict=False))
    rates = [(layers, factor) for layers, factor in pairs if layers or factor]
    return SpecForm(form.values(), rates, form.one("more"))


def field_of(pointer: str) -> str:
    """Return the name of the field at which an error with this pointer is shown."""
    for pattern, name in FIELD_OF_POINTER:
        if found := re.fullmatch(pattern, pointer):
            return found.expand(name)
    return "more"


def spec_of(form: SpecForm) -> Spec:
    """Return the job spec that the fields describe; empty fields are left out.

    Raises:
        ValueError: the field `more` is not a JSON object.
    """
    spec: Spec = {name: form.get(name).strip() for name in PLAIN if form.get(name).strip()}
    spec |= {name: _value(form.get(name)) for name in NUMBERS if form.get(name).strip()}
    arguments = {
        name.removeprefix("train."): _value(value)
        for name, value in form.values.items()
        if name.startswith("train.") and value.strip()
    }
    parts = {
        "train": arguments,
        "customize": _customize(form),
        "resources": _resources(form),
        "tags": _tags(form.get("tags")),
    }
    spec |= {name: part for name, part in parts.items() if part}
    if form.more.strip():
        more = json.loads(form.more)
        if not isinstance(more, dict):
            message = "It must be a JSON object."
            raise ValueError(message)
        spec = _merged(spec, more)
    return spec


def form_of_spec(spec: Mapping[str, Any]) -> SpecForm:
    """Return the fields that describe a job spec."""
    form = SpecForm()
    rest = json.loads(json.dumps(spec))
    for name in (*PLAIN, *NUMBERS):
        if (value := rest.pop(name, None)) not in (None, ""):
            form.values[name] = _shown(value)
    for name, value in (rest.pop("train", None) or {}).items():
        form.values[f"train.{name}"] = _shown(value)
    for name, value in (rest.pop("resources", None) or {}).items():
        form.values[f"resources.{name}"] = "" if value is None else _shown(value)
    form.values["tags"] = " ".join(f"{k}={v}" for k, v in (rest.pop("tags", None) or {}).items())
    left = _fill_customize(form, rest.pop("customize", None) or {})
    if left:
        rest["customize"] = left
    form.more = json.dumps(rest, indent=2) if rest else ""
    return form


def _customize(form: SpecForm) -> Spec:
    parts: dict[str, Callable[[SpecForm], Any]] = {
        "metrics": _metrics,
        "class_weights": _class_weights,
        "best_model": lambda given: {"metric": given.get("best.metric").strip()},
        "freeze": _freeze,
        "layer_lrs": _layer_rates,
    }
    ticked = [name for name, tick in zip(parts, TICKS, strict=True) if form.get(f"on.{tick}")]
    return {name: parts[name](form) for name in ticked}


def _metrics(form: SpecForm) -> Spec:
    return {name: bool(form.get(f"metrics.{name}")) for name in ("f1", "per_class")}


def _class_weights(form: SpecForm) -> Spec:
    mode = form.get("weights.mode") or "inverse_frequency"
    if mode == "explicit":
        lines = [line.rpartition("=") for line in form.get("weights.given").splitlines() if line]
        return {"mode": mode, "weights": {n.strip(): _value(v) for n, _, v in lines}}
    number = {"inverse_frequency": "cap", "balanced": "power"}.get(mode, "")
    given = form.get(f"weights.{number}").strip()
    return {"mode": mode} | ({number: _value(given)} if given else {})


def _freeze(form: SpecForm) -> Spec:
    epochs = form.get("freeze.epochs").strip()
    return {"layers": _layers(form.get("freeze.layers"))} | (
        {"epochs": _value(epochs)} if epochs else {}
    )


def _layer_rates(form: SpecForm) -> list[Spec]:
    return [{"layers": _layers(layers), "factor": _value(f)} for layers, f in form.rates]


def _resources(form: SpecForm) -> Spec:
    given = {name: form.get(f"resources.{name}").strip() for name in ("queue", "gpus")}
    named = {"queue": given["queue"]} if given["queue"] else {}
    return named | ({"gpus": _value(given["gpus"])} if given["gpus"] else {})


def _tags(text: str) -> dict[str, str]:
    return {key: value for key, _, value in (pair.partition("=") for pair in text.split())}


def _layers(text: str) -> Any:  # noqa: ANN401 -- a word, a number or a list, or what was typed
    text = text.strip()
    if "," in text:
        return [_value(part) for part in text.split(",") if part.strip()]
    return _value(text)


def _value(text: str) -> Any:  # noqa: ANN401 -- any JSON value
    """Return a typed value as JSON; anything else stays text."""
    text = text.strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_finite = not isinstance(value, float) or abs(value) < float("inf")
    return value if is_finite else text


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shown_layers(layers: object) -> str:
    return ", ".join(map(str, layers)) if isinstance(layers, list) else _shown(layers)


def _fill_customize(form: SpecForm, customize: Spec) -> Spec:
    """Fill the fields of the customizations, and return those that have no field."""
    left = dict(customize)
    metrics = left.pop("metrics", None) or {}
    for name in metrics:
        form.values[f"metrics.{name}"] = "on" if metrics[name] else ""
    form.values["on.metrics"] = "on" if any(metrics.values()) else ""
    if weights := left.pop("class_weights", None):
        form.values |= {"on.weights": "on", "weights.mode": weights["mode"]}
        form.values |= {
            f"weights.{name}": _shown(weights[name])
            for name in ("cap", "power")
            if weights.get(name) is not None
        }
        given = weights.get("weights") or {}
        form.values["weights.given"] = "\n".join(f"{n} = {_shown(v)}" for n, v in given.items())
    best = left.get("best_model")
    if best and not best.get("direction"):
        form.values |= {"on.best": "on", "best.metric": best["metric"]}
        del left["best_model"]
    if freeze := left.pop("freeze", None):
        epochs = freeze.get("epochs")
        form.values |= {"on.freeze": "on", "freeze.layers": _shown_layers(freeze["layers"])}
        form.values["freeze.epochs"] = "" if epochs is None else _shown(epochs)
    rates = left.pop("layer_lrs", None) or []
    form.values["on.rates"] = "on" if rates else ""
    form.rates = [(_shown_layers(each["layers"]), _shown(each["factor"])) for each in rates]
    return {name: value for name, value in left.items() if value not in (None, [], {})}


def _merged(target: Spec, patch: Spec) -> Spec:
    """Return a document with a merge patch applied (RFC 7396)."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            known = merged.get(name)
            merged[name] = _merged(known if isinstance(known, dict) else {}, value)
        else:
            merged[name] = value
    return merged
