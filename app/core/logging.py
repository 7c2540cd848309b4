"""Structured logging: one line per event, with its name and fields; JSON unless on a terminal."""

import io
import logging
import sys
from typing import TextIO

import structlog

from app.core.plain_text import shown_lines


def configure_logging(*, level: str = "INFO") -> None:
    """Write events of structlog and of the standard library's loggers to stderr, one per line."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    is_terminal = sys.stderr.isatty()
    # structlog's default traceback would print local variables, which may contain secrets.
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=_visible_traceback)
        if is_terminal
        else structlog.processors.JSONRenderer()
    )
    final: list[structlog.types.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        *([_make_visible] if is_terminal else [structlog.processors.format_exc_info]),
        renderer,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final)
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], name != "uvicorn.access"
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _make_visible(
    _logger: structlog.types.WrappedLogger, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Escape what could control the terminal. JSON escapes every character that is not ASCII."""
    return {
        key: shown_lines(value) if isinstance(value, str) else value for key, value in event.items()
    }


def _visible_traceback(out: TextIO, error: structlog.types.ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    out.write(shown_lines(text.getvalue()))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the structured logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message; SQLAlchemy adds the statement below it."""
    return str(error).partition("\n")[0]
