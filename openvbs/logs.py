"""Structured logs on stderr: one JSON object a line, or plain text for a person at a terminal.

Every line carries the request and the job it belongs to, by context variables, so nobody passes them on.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType

_NOTHING: MappingProxyType[str, str] = MappingProxyType({})
_bound: ContextVar[MappingProxyType[str, str]] = ContextVar("openvbs_log_context", default=_NOTHING)


@contextmanager
def bind(**ids: str) -> Iterator[None]:
    """Put ids, such as request_id or job_id, on every line logged inside the block by this thread or task."""
    token = _bound.set(MappingProxyType({**_bound.get(), **ids}))
    try:
        yield
    finally:
        _bound.reset(token)


def configure_process(process: str, level: str) -> None:
    """Send all logging of this process to stderr: as text when that is a terminal, else as JSON lines."""
    configure(level, as_json=not sys.stderr.isatty(), process=process)
    sys.excepthook = _log_uncaught


def configure(level: str, *, as_json: bool, process: str) -> None:
    """Send all logging of this process to stderr, in one shape. Replaces every handler that was there."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process) if as_json else TextLines(process))
    root = logging.getLogger()
    for other in logging.root.manager.loggerDict.values():
        if isinstance(other, logging.Logger):
            other.handlers.clear()
            other.propagate = True
    root.handlers[:] = [handler]
    wanted: int = logging.getLevelNamesMapping()[level.upper()]
    # What libraries tell at INFO interests their own developers; DEBUG is for when it interests us.
    root.setLevel(wanted if wanted == logging.DEBUG else max(wanted, logging.WARNING))
    logging.getLogger("openvbs").setLevel(wanted)
    # It reports each optional driver that is not installed as an error.
    logging.getLogger("stevedore").setLevel(logging.CRITICAL)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("openvbs").critical("this process ends by an error", exc_info=(kind, error, trace))


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, process, logger, message, then the ids, then the error."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **_bound.get(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Time, level, process and message, with the ids behind."""

    def __init__(self, process: str) -> None:
        escaped = process.replace("%", "%%")
        super().__init__(f"%(asctime)s %(levelname)-7s {escaped}: %(message)s%(ids)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={value}" for name, value in _bound.get().items())
        record.ids = f"  [{ids}]" if ids else ""
        return super().format(record)
