"""Requests that no well-behaved client sends, by row id, each with its expected refusal.

`DATASET` and `JOB` in a path or body stand for the ids of a ready dataset and of a queued job.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from tests.api.refusals import CANARY

JSON = {"Content-Type": "application/json"}
DEEP = 100_000
MIB = 1024 * 1024


@dataclass(frozen=True)
class Hostile:
    """A request, and the problem that it gets as its answer."""

    status: int
    slug: str
    pointer: str | None
    content: bytes = b""
    method: str = "POST"
    path: str = "/v1/jobs"
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)


def spec(**changes: object) -> bytes:
    """The JSON of a job; NaN, infinities and lone surrogates are written as Python writes them."""
    valid = {"dataset": "DATASET", "model": "yolo26n.yaml", "train": {"epochs": 2, "imgsz": 64}}
    return json.dumps(valid | changes).encode()


def train(**arguments: object) -> bytes:
    return spec(train={"epochs": 2, "imgsz": 64} | arguments)


def customize(**parts: object) -> bytes:
    return spec(customize=parts)


def with_raw(field_name: str, raw: bytes) -> bytes:
    """A job whose field holds JSON that Python would not write."""
    return spec(**{field_name: "RAW"}).replace(b'"RAW"', raw)


UNKNOWN_CLASS = "no such class"

unreadable = partial(Hostile, 400, "invalid-json", None)
repeated = partial(Hostile, 400, "duplicate-key", None)
invalid = partial(Hostile, 422, "validation-error")
mismatched = partial(Hostile, 422, "task-mismatch")
patch = partial(Hostile, 422, "validation-error", method="PATCH", path="/v1/jobs/JOB")
clone = partial(Hostile, 422, "validation-error", path="/v1/jobs/JOB/clone")
extend = partial(Hostile, 422, "validation-error", path="/v1/jobs/JOB/extend")
too_large = partial(Hostile, 413, "body-too-large", None)
unread = partial(Hostile, 415, "unsupported-media-type", None, spec())
unanswered = partial(Hostile, 406, "not-acceptable", None)


def ask(pointer: str | None, path: str, *, status: int = 422, slug: str = "") -> Hostile:
    slug = slug or "validation-error"
    return Hostile(status, slug, pointer, b"", method="GET", path=path, headers={})


def upload(pointer: str, query: str) -> Hostile:
    path = f"/v1/datasets?{query}"
    return Hostile(422, "validation-error", pointer, b"PK", path=path, headers={})


def missing(path: str, *, slug: str = "not-found", method: str = "GET") -> Hostile:
    return Hostile(404, slug, None, b"", method=method, path=path, headers={})


BODIES = {
    "H1-empty-body": unreadable(b""),
    "H1-cut": unreadable(spec(name=CANARY)[:-2]),
    "H1-bom": unreadable(b"\xef\xbb\xbf" + spec()),
    "H1-not-utf-8": unreadable(b'{"name": "' + CANARY.encode() + b'\xff"}'),
    "H1-utf-16": unreadable(spec().decode().encode("utf-16")),
    "H1-single-quotes": unreadable(f"{{'name': '{CANARY}'}}".encode()),
    "H1-two-documents": unreadable(spec() + spec()),
    "H1-nul-at-the-end": unreadable(spec() + b"\x00"),
    "H1-patch": unreadable(b"{", method="PATCH", path="/v1/jobs/JOB"),
    "H1-patch-empty": unreadable(b"", method="PATCH", path="/v1/jobs/JOB"),
    "H1-null": invalid("", b"null"),
    "H1-list": invalid("", b"[" + spec() + b"]"),
    "H1-text": invalid("", json.dumps(CANARY).encode()),
    "H1-clone-empty": unreadable(b"", path="/v1/jobs/JOB/clone"),
    "H1-clone-cut": unreadable(b'{"name": "' + CANARY.encode(), path="/v1/jobs/JOB/clone"),
    "H1-clone-null": clone("", b"null"),
    "H1-clone-list": clone("", b"[]"),
    "H1-clone-without-a-data-set": clone("/dataset", b'{"dataset": null}'),
    "H1-extend-null": extend("", b"null"),
    "H1-extend-without-epochs": extend("/epochs", b"{}"),
    "H2-extend-nan": extend("/epochs", b'{"epochs": NaN}'),
    "H2-clone-nan": clone("/train/box", b'{"train": {"box": NaN}}'),
    "H2-nan": invalid("/train/lr0", train(lr0=float("nan"))),
    "H2-infinity": invalid("/train/box", train(box=float("inf"))),
    "H2-minus-infinity": invalid("/timeout_hours", spec(timeout_hours=float("-inf"))),
    "H2-1e999": invalid("/timeout_hours", with_raw("timeout_hours", b"1e999")),
    "H2-nan-for-an-integer": invalid("/priority", spec(priority=float("nan"))),
    "H2-infinity-for-an-integer": invalid("/train/epochs", train(epochs=float("inf"))),
    "H2-nan-for-a-union": invalid("/train/batch", train(batch=float("nan"))),
    "H2-nan-for-text": invalid("/name", spec(name=float("nan"))),
    "H3-surrogate": invalid("/name", spec(name=CANARY + "\ud800")),
    "H3-surrogate-in-notes": invalid("/notes", spec(notes=CANARY + "\udfff")),
    "H3-surrogate-in-a-tag": invalid("/tags/line", spec(tags={"line": "\ud800" + CANARY})),
    "H3-surrogate-as-a-tag": invalid("/tags", spec(tags={"\ud800": CANARY})),
    "H3-surrogate-in-a-reference": invalid("/dataset", spec(dataset="\ud800" + CANARY)),
    "H3-surrogate-in-a-choice": invalid("/task", spec(task="\ud800" + CANARY)),
    "H3-surrogate-as-a-key": invalid("/?", spec(**{"\ud800": CANARY})),
    "H3-nul": invalid("/name", spec(name=CANARY + "\x00")),
    "H3-escape": invalid("/name", spec(name=CANARY + "\x1b[2J")),
    "H3-line-end": invalid("/name", spec(name=CANARY + "\n")),
    "H3-bidi-override": invalid("/name", spec(name=CANARY + "\u202egpj.exe")),
    "H3-bidi-isolate": invalid("/notes", spec(notes="\u2066" + CANARY)),
    "H3-zero-width-space": invalid("/name", spec(name=CANARY + "\u200b")),
    "H3-tags": invalid("/name", spec(name=CANARY + "\U000e0041\U000e007f")),
    "H3-noncharacter": invalid("/name", spec(name=CANARY + "\uffff")),
    "H3-filler-in-a-tag": invalid("/tags/a", spec(tags={"a": CANARY + "\u3164"})),
    "H3-line-separator": invalid("/name", spec(name=CANARY + "\u2028")),
    "H3-patched-surrogate": patch("/name", json.dumps({"name": CANARY + "\ud800"}).encode()),
    "H3-patched-nul": patch("/tags/a", json.dumps({"tags": {"a": CANARY + "\x00"}}).encode()),
    "H3-clone-surrogate": clone("/name", json.dumps({"name": CANARY + "\ud800"}).encode()),
    "H4-clone-objects": unreadable(b'{"a":' * DEEP, path="/v1/jobs/JOB/clone"),
    "H4-lists": unreadable(b"[" * DEEP),
    "H4-closed-lists": unreadable(b"[" * DEEP + b"]" * DEEP),
    "H4-objects": unreadable(b'{"a":' * DEEP),
    "H4-within-a-field": unreadable(with_raw("tags", b"[" * DEEP + b"]" * DEEP)),
    "H5-top": repeated(b'{"name": "' + CANARY.encode() + b'", "name": "b"}'),
    "H5-nested": repeated(with_raw("train", b'{"epochs": 1, "epochs": 2}')),
    "H5-escaped": repeated(b'{"name": "a", "n\\u0061me": "b"}'),
    "H5-clone": repeated(b'{"notes": "", "notes": ""}', path="/v1/jobs/JOB/clone"),
    "H5-patch": repeated(b'{"notes": "", "notes": ""}', method="PATCH", path="/v1/jobs/JOB"),
    "H6-5000-digits": unreadable(with_raw("priority", b"1" * 5_000)),
    "H6-4000-digits": invalid("/priority", with_raw("priority", b"1" * 4_000)),
    "H6-400-digits-for-a-float": invalid("/train/box", train(box=int("1" * 400))),
    "H6-400-digits-for-a-union": invalid("/train/batch", train(batch=int("1" * 400))),
    "H7-over-a-mebibyte": too_large(spec(notes=CANARY * (MIB // 4))),
    "H7-clone-over-a-mebibyte": too_large(
        spec(notes=CANARY * (MIB // 4)), path="/v1/jobs/JOB/clone"
    ),
    "H7-patch-over-a-mebibyte": too_large(
        spec(notes=CANARY * (MIB // 4)), method="PATCH", path="/v1/jobs/JOB"
    ),
    "H8-unknown": invalid("/augmentation", spec(augmentation=CANARY)),
    "H8-case": invalid("/Dataset", spec(Dataset=CANARY)),
    "H8-in-train": invalid("/train/epoch", train(epoch=CANARY)),
    "H8-in-resources": invalid("/resources/gpu", spec(resources={"gpu": CANARY})),
    "H8-escaped-pointer": invalid("/a~1b~0c", spec(**{"a/b~c": CANARY})),
    "H8-patch": patch("/state", json.dumps({"state": CANARY}).encode()),
    "H8-clone": clone("/augmentation", json.dumps({"augmentation": CANARY}).encode()),
    "H8-clone-in-train": clone("/train/epoch", json.dumps({"train": {"epoch": CANARY}}).encode()),
    "H8-own-field": invalid("/id", spec(id=CANARY)),
    "H8-in-a-query": ask("query/limt", f"/v1/jobs?limt={CANARY}"),
    "H8-in-an-upload": upload("query/nmae", f"name=a&nmae={CANARY}"),
    "H9-text": unread(headers={"Content-Type": "text/plain"}),
    "H9-form": unread(headers={"Content-Type": "application/x-www-form-urlencoded"}),
    "H9-multipart": unread(headers={"Content-Type": f"multipart/form-data; boundary={CANARY}"}),
    "H9-xml": unread(headers={"Content-Type": "application/xml"}),
    "H9-none": unread(headers={}),
    "H9-nonsense": unread(headers={"Content-Type": CANARY}),
    "H9-clone": unread(headers={"Content-Type": "text/plain"}, path="/v1/jobs/JOB/clone"),
    "H9-patch": unread(headers={"Content-Type": "text/plain"}, method="PATCH", path="/v1/jobs/JOB"),
    "H9-upload-as-json": unread(path="/v1/datasets?name=a"),
    "H9-upload-as-form": unread(
        path="/v1/datasets?name=a", headers={"Content-Type": "multipart/form-data"}
    ),
    "H9-accept": unanswered(spec(), headers=JSON | {"Accept": "image/png"}),
    "H9-accept-nothing": unanswered(spec(), headers=JSON | {"Accept": "*/*;q=0"}),
    "H9-accept-of-a-list": unanswered(method="GET", headers={"Accept": f"text/{CANARY}"}),
}

PLACES = {
    "H3-nul-in-a-name-filter": ask("query/name", f"/v1/jobs?name={CANARY}%00"),
    "H3-nul-in-a-model-filter": ask("query/model", "/v1/jobs?model=%00"),
    "H3-nul-in-a-data-set-filter": ask("query/dataset", "/v1/jobs?dataset=%00"),
    "H3-nul-in-a-task-filter": ask("query/task", "/v1/jobs?task=%00"),
    "H3-nul-in-a-tag-filter": ask("query/tag/0", f"/v1/jobs?tag={CANARY}:%00"),
    "H3-nul-in-a-project-of-the-audit-log": ask("query/project_id", "/v1/audit?project_id=%00"),
    "H3-nul-in-a-data-set-name": ask("query/name", f"/v1/datasets?name={CANARY}%00"),
    "H3-nul-in-an-upload": upload("query/name", f"name={CANARY}%00"),
    "H3-bidi-in-an-upload": upload("query/name", f"name={CANARY}%E2%80%AE"),
    "H3-line-end-in-an-upload": upload("query/name", f"name={CANARY}%0A"),
    "H3-not-utf-8-in-an-upload": upload("query/name", f"name={CANARY}%FF"),
    "H3-surrogate-in-a-job-id": missing(f"/v1/jobs/{CANARY}%ED%A0%80", slug="job-not-found"),
    "H3-long-job-id": missing(f"/v1/jobs/{CANARY * 500}", slug="job-not-found"),
    "H3-nul-in-a-job-id": missing(f"/v1/jobs/{CANARY}%00"),
    "H3-nul-in-a-cancelled-id": missing("/v1/jobs/%00/cancel", method="POST"),
    "H3-nul-in-a-retried-id": missing("/v1/jobs/%00/retry", method="POST"),
    "H3-nul-in-a-trashed-id": missing("/v1/jobs/%00", method="DELETE"),
    "H8-text-for-the-trash": ask("query/trashed", f"/v1/jobs?trashed={CANARY}"),
    "H3-nul-in-a-log-of": missing("/v1/jobs/%00/logs"),
    "H3-nul-in-an-artifact": missing(f"/v1/jobs/JOB/artifacts/{CANARY}%00"),
    "H3-nul-in-a-data-set": missing("/v1/datasets/ds_%00"),
    "H3-nul-in-a-report": missing("/v1/datasets/%00/report"),
    "H3-nul-in-a-deleted-data-set": missing("/v1/datasets/%00", method="DELETE"),
    "H6-long-number-in-a-query": ask("query/limit", "/v1/jobs?limit=" + "1" * 5000),
    "H6-64-bits-in-a-query": ask("query/since", f"/v1/jobs/JOB/metrics?since={2**64}"),
    "H6-64-bits-for-an-attempt": ask("query/attempt", f"/v1/jobs/JOB/logs?attempt={2**64}"),
    "H16-huge": ask("query/limit", "/v1/jobs?limit=1000000000"),
    "H16-negative": ask("query/limit", "/v1/jobs?limit=-1"),
    "H16-zero": ask("query/limit", "/v1/jobs?limit=0"),
    "H16-float": ask("query/limit", "/v1/jobs?limit=1.5"),
    "H16-text": ask("query/limit", f"/v1/jobs?limit={CANARY}"),
    "H16-of-events": ask("query/limit", "/v1/jobs/JOB/events?limit=1000000000"),
    "H16-of-data-sets": ask("query/limit", "/v1/datasets?limit=-5"),
    "H16-of-models": ask("query/limit", "/v1/models?limit=201"),
    "H16-long-cursor": ask("query/cursor", "/v1/jobs?cursor=" + "A" * 2001),
    "J1-unknown-sort": ask("query/sort", f"/v1/jobs?sort={CANARY}"),
    "J1-unknown-state": ask("query/state/0", f"/v1/jobs?state={CANARY}"),
    "J1-unknown-task-of-an-upload": upload("query/task", f"name=a&task={CANARY}"),
    "J1-project-of-others": Hostile(
        422,
        "unknown-project",
        "query/project",
        b"PK",
        path=f"/v1/datasets?name=a&project={CANARY}",
        headers={},
    ),
}

JOBS = {
    "J1-save-dir": invalid("/train/save_dir", train(save_dir=f"/srv/{CANARY}")),
    "J1-resume": invalid("/train/resume", train(resume=f"/srv/{CANARY}.pt")),
    "J1-data-url": invalid("/train/data", train(data=f"https://{CANARY}/x.zip")),
    "J1-device": invalid("/train/device", train(device=f"$({CANARY})")),
    "J1-workers": invalid("/train/workers", train(workers=10**6)),
    "J1-loader-workers": invalid("/train/loader_workers", train(loader_workers=10**6)),
    "J1-project": invalid("/train/project", train(project=f"../{CANARY}")),
    "J1-name": invalid("/train/name", train(name=f"../{CANARY}")),
    "J1-cfg": invalid("/train/cfg", train(cfg=f"/etc/{CANARY}")),
    "J1-augmentations": invalid("/train/augmentations", train(augmentations=[CANARY])),
    "J1-dunder": invalid("/train/__class__", train(__class__=CANARY)),
    "J1-path-as-a-model": invalid("/model", spec(model=f"/etc/{CANARY}")),
    "J1-path-below-as-a-model": invalid("/model", spec(model=f"../{CANARY}.pt")),
    "J1-url-as-a-model": invalid("/model", spec(model=f"https://{CANARY}/a.pt")),
    "J1-model-with-a-line-end": invalid("/model", spec(model="yolo26n.yaml\n")),
    "J1-absent-weights": Hostile(422, "model-not-here", "/model", spec(model=f"{CANARY}.pt")),
    "J1-absent-architecture": Hostile(422, "unknown-model", "/model", spec(model=f"{CANARY}.yaml")),
    "J1-absent-model": Hostile(422, "unknown-model", "/model", spec(model="mdl_" + "0" * 26)),
    "J1-clone-save-dir": clone(
        "/train/save_dir", json.dumps({"train": {"save_dir": f"/srv/{CANARY}"}}).encode()
    ),
    "J1-clone-parent": clone("/parent", json.dumps({"parent": CANARY}).encode()),
    "J1-dataset-path": Hostile(422, "unknown-dataset", "/dataset", spec(dataset=f"/etc/{CANARY}")),
    "J1-queue": invalid("/resources/queue", spec(resources={"queue": f"a/{CANARY}"})),
    "J1-trainer": invalid("/trainer/name", spec(trainer={"name": CANARY})),
    "J1-customize": invalid("/customize/metrics", spec(customize={"metrics": CANARY})),
    "J1-weights-of-a-class-that-is-not-there": invalid(
        f"/customize/class_weights/weights/{UNKNOWN_CLASS}",
        customize(class_weights={"mode": "explicit", "weights": {UNKNOWN_CLASS: 2.0}}),
    ),
    "J1-weight-nan": invalid(
        "/customize/class_weights/weights/a",
        customize(class_weights={"mode": "explicit", "weights": {"a": float("nan")}}),
    ),
    "J1-kept-under-a-path": invalid(
        "/customize/keep_best/0/name",
        customize(keep_best=[{"name": f"../{CANARY}", "metric": "metrics/recall(B)"}]),
    ),
    "J1-metric-as-code": invalid(
        "/customize/best_model/metric", customize(best_model={"metric": f"__import__('{CANARY}')"})
    ),
    "J1-unknown-metric": invalid(
        "/customize/best_model/metric", customize(best_model={"metric": CANARY})
    ),
    "J1-layer-beyond-the-last": invalid(
        "/customize/freeze/layers", customize(freeze={"layers": [999]})
    ),
    "J1-layers-by-name": invalid(
        "/customize/layer_lrs/0/layers",
        customize(layer_lrs=[{"layers": CANARY, "factor": 0.1}]),
    ),
    "J1-endless-factor": invalid(
        "/customize/layer_lrs/0/factor",
        customize(layer_lrs=[{"layers": "backbone", "factor": float("inf")}]),
    ),
    "J1-several-gpus": invalid("/resources/gpus", spec(resources={"gpus": 2})),
    "J1-cache-as-text": invalid("/train/cache", train(cache=f"disk;{CANARY}")),
    "J1-optimizer": invalid("/train/optimizer", train(optimizer=CANARY)),
    "J1-number-as-text": invalid("/train/epochs", train(epochs="2")),
    "J1-true-as-a-number": invalid("/train/epochs", train(epochs=True)),
    "J2-no-epoch": invalid("/train/epochs", train(epochs=0)),
    "J2-negative-epochs": invalid("/train/epochs", train(epochs=-1)),
    "J2-endless-epochs": invalid("/train/epochs", train(epochs=10**9)),
    "J2-imgsz-31": invalid("/train/imgsz", train(imgsz=31)),
    "J2-imgsz-100000": invalid("/train/imgsz", train(imgsz=100_000)),
    "J2-batch-0": invalid("/train/batch", train(batch=0)),
    "J2-batch-minus-2": invalid("/train/batch", train(batch=-2)),
    "J2-batch-0.99": invalid("/train/batch", train(batch=0.99)),
    "J2-lr0-0": invalid("/train/lr0", train(optimizer="SGD", lr0=0)),
    "J2-lr0-2": invalid("/train/lr0", train(optimizer="SGD", lr0=2)),
    "J2-lr0-nan": invalid("/train/lr0", train(optimizer="SGD", lr0=float("nan"))),
    "J2-lr0-with-auto": invalid("/train/lr0", train(lr0=0.02)),
    "J2-priority": invalid("/priority", spec(priority=101)),
    "J2-restarts": invalid("/max_restarts", spec(max_restarts=-1)),
    "J2-no-time": invalid("/timeout_hours", spec(timeout_hours=0)),
    "J2-long-name": invalid("/name", spec(name="a" * 201)),
    "J2-long-tag": invalid("/tags/a", spec(tags={"a": "b" * 201})),
    "J2-many-tags": invalid("/tags", spec(tags={f"t{n}": "" for n in range(33)})),
    "J2-long-notes": invalid("/notes", spec(notes="a" * 10_001)),
    "J3-model-and-data": mismatched("/dataset", spec(model="yolo26n-seg.yaml")),
    "J3-task-and-model": mismatched("/model", spec(task="pose")),
    "J3-task-and-data": mismatched("/dataset", spec(model="yolo26n-cls.yaml", task="classify")),
    "J3-argument-and-task": invalid("/train/pose", train(pose=11.0)),
    "J3-argument-and-named-task": invalid("/train/kobj", spec(task="detect", train={"kobj": 2.0})),
}

ROWS = BODIES | PLACES | JOBS
