"""`python -m tests.worker.processes.process_facts FILE`: what a trainer process knows of itself.

It imports what a trainer imports, and writes as JSON every simple global variable of every module,
and what the kernel and the libraries keep per process.
"""

import importlib
import json
import locale
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worker.processes.parent import PRELOADED

SIMPLE = (bool, int, float, str, bytes, type(None), Path)
MOST_MEMBERS = 2000
DEEPEST = 4
LINES_OF_STATUS = ("SigBlk", "SigIgn", "SigCgt", "Cap", "Seccomp", "NoNewPrivs", "Umask")


def main(file: str) -> None:
    """Import the trainer and write the facts."""
    for name in ("worker.trainer.training", *PRELOADED):
        importlib.import_module(name)
    facts = dict(globals_of_modules()) | dict(facts_of_libraries()) | dict(facts_of_the_kernel())
    Path(file).write_text(json.dumps(facts), encoding="utf-8")


def globals_of_modules() -> Iterator[tuple[str, str]]:
    """Yield the simple global variables of all modules, and the class variables."""
    for name, module in sorted(sys.modules.items()):
        if name in {"__main__", __name__}:
            continue
        for variable, value in sorted(vars(module).items()):
            if is_simple(value):
                yield f"{name}.{variable}", text_of(value)
            elif isinstance(value, type) and value.__module__ == name:
                for attribute, kept in sorted(vars(value).items()):
                    if is_simple(kept):
                        yield f"{name}.{variable}.{attribute}", text_of(kept)


def facts_of_libraries() -> Iterator[tuple[str, object]]:
    """Yield what numpy, torch, OpenCV, Ultralytics and Python keep outside of variables."""
    cv2, np, torch = (importlib.import_module(name) for name in ("cv2", "numpy", "torch"))
    utils = importlib.import_module("ultralytics.utils")
    callbacks = importlib.import_module("ultralytics.utils.callbacks.base").default_callbacks
    yield "torch threads", [torch.get_num_threads(), torch.get_num_interop_threads()]
    yield "torch parallel", torch.__config__.parallel_info()
    yield "torch dtype", repr(torch.get_default_dtype())
    yield "torch grad", torch.is_grad_enabled()
    yield "torch deterministic", torch.are_deterministic_algorithms_enabled()
    yield "torch backends", [torch.backends.mkldnn.enabled, torch.backends.cudnn.benchmark]
    yield "torch matmul", torch.get_float32_matmul_precision()
    yield "torch denormals", float(torch.tensor(1e-310, dtype=torch.float64) + 0)
    yield "CUDA initialized", torch.cuda.is_initialized()
    yield "OpenCV threads", cv2.getNumThreads()
    yield "numpy print options", repr(np.get_printoptions())
    yield "locale", list(locale.getlocale())
    yield "warnings", [repr(each) for each in warnings.filters]
    yield "default callbacks", {name: len(each) for name, each in callbacks.items()}
    yield "settings", text_of(dict(utils.SETTINGS))
    yield "temporary folder", tempfile.gettempdir()
    yield "modules", sorted(sys.modules)
    yield "threads", [thread.name for thread in threading.enumerate()]
    yield "search path", sys.path


def facts_of_the_kernel() -> Iterator[tuple[str, object]]:
    """Yield what the kernel keeps of this process."""
    status = Path("/proc/self/status").read_text().splitlines()
    yield "status", [line for line in status if line.startswith(LINES_OF_STATUS)]
    yield "environment", dict(os.environ)
    marks = Path("/proc/self/environ").read_bytes().split(b"\0")
    yield "marks", [mark.decode() for mark in marks if mark.startswith(b"TRAINYARD_ATTEMPT=")]
    yield "folder", str(Path.cwd())
    yield "leads", [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()]
    yield "niceness", os.nice(0)
    yield "tasks", len(list(Path("/proc/self/task").iterdir()))
    yield "out-of-memory score", Path("/proc/self/oom_score_adj").read_text()
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    yield "limits", {name: resource.getrlimit(getattr(resource, name)) for name in names}
    handlers = {number.name: repr(signal.getsignal(number)) for number in signal.Signals}
    yield "signal handlers", handlers
    files = [each for each in Path("/proc/self/fd").iterdir() if each.exists()]
    yield "files", {each.name: str(each.readlink()) for each in files}


def is_simple(value: object, depth: int = 0) -> bool:
    """Return whether a value consists of numbers, texts and collections of them."""
    if isinstance(value, SIMPLE):
        return True
    if depth == DEEPEST or not isinstance(value, list | tuple | set | frozenset | dict):
        return False
    members = [*value.items()] if isinstance(value, dict) else value
    return len(members) < MOST_MEMBERS and all(is_simple(each, depth + 1) for each in members)


def text_of(value: Any) -> str:  # noqa: ANN401 -- a simple value
    """Return a text that does not depend on the order of sets and dicts."""
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(sorted(f"{text_of(k)}: {text_of(v)}" for k, v in value.items())) + "}"
        )
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(text_of, value))) + "}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}[{', '.join(map(text_of, value))}]"
    return f"{type(value).__name__} {value!r}"


if __name__ == "__main__":
    random.seed(0)
    main(sys.argv[1])
