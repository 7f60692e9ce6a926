"""Logging: the standard logging, with the running service in every record.

Duty: handler, formatters and filter; whoever knows which service runs passes that in.
May import: the standard library and trionet.config.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from trionet.config import LogConfig

Owner = Callable[[], tuple[str, str, str | None] | None]

_KNOWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime",
    "message",
    "service",
    "service_name",
    "taskName",
    "trace",
}


def _nobody() -> None:
    return None


class ServiceFilter(logging.Filter):
    """Puts the service whose code runs, and its call chain, into each record; it never drops one.

    The attributes are ``service``, the text of its handle, ``service_name``, and ``trace``, the id of the
    call chain; all are None outside of services, the last also where a service acts by itself.  What a
    record has already (by ``extra``) stays.  Put it on handlers, not on loggers: a logger's filter does not
    see the records of loggers below it.

    Args:
        owner: returns handle and name of the service whose code runs and the id of the call chain, or None.
    """

    def __init__(self, owner: Owner = _nobody) -> None:
        super().__init__()
        self._owner = owner

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes."""
        service, name, trace = self._owner() or (None, None, None)
        if not hasattr(record, "service"):
            record.service, record.service_name = service, name
        elif not hasattr(record, "service_name"):
            record.service_name = None
        if not hasattr(record, "trace"):
            record.trace = trace
        return True


def _service(record: logging.LogRecord) -> tuple[Any, Any]:
    return getattr(record, "service", None), getattr(record, "service_name", None)


class TextFormatter(logging.Formatter):
    """Lines for people: local time, level, service, id of the call chain in brackets, logger, message."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Local time to the millisecond."""
        moment = datetime.fromtimestamp(record.created).astimezone()
        return moment.strftime(datefmt) if datefmt else moment.isoformat(" ", "milliseconds")[:23]

    def formatMessage(self, record: logging.LogRecord) -> str:
        """One line; a traceback, if any, follows it."""
        handle, name = _service(record)
        service = f"{handle} {name}" if handle and name else handle or "-"
        trace = getattr(record, "trace", None)
        chain = f" [{trace}]" if trace else ""
        return f"{record.asctime} {record.levelname:<8} {service}{chain} {record.name}: {record.message}"

    def usesTime(self) -> bool:
        """The line begins with the time."""
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Keys: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, ``node``; ``service`` and
    ``service_name`` inside a service; ``trace``, the id of the call chain, in handlers; ``exception`` and
    ``stack``, as text, where there are any; and what the record was given as ``extra``.

    Args:
        node: the node's name, or None to leave it out.
    """

    def __init__(self, node: str | None = None) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """Make the line."""
        handle, name = _service(record)
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "node": self._node,
            "service": handle,
            "service_name": name,
            "trace": getattr(record, "trace", None),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        extra = {key: each for key, each in vars(record).items() if key not in _KNOWN and key not in line}
        return _to_json({key: each for key, each in line.items() if each is not None} | extra)


def _to_json(line: dict[str, Any]) -> str:
    try:
        return json.dumps(line, default=repr, allow_nan=False)
    except (ValueError, TypeError):  # not a number, a circle, keys that are no text
        return json.dumps({key: each if isinstance(each, str) else repr(each) for key, each in line.items()})


class _Handler(logging.StreamHandler[TextIO]):
    """The handler of :func:`setup_logging`, to be known again."""


def setup_logging(
    config: LogConfig = LogConfig(),  # noqa: B008 - frozen
    *,
    owner: Owner = _nobody,
    node: str | None = None,
    stream: TextIO | None = None,
) -> None:
    """Send all records of this process to one stream; a further call replaces the earlier one.

    Handlers that others put on the root logger stay.  Warnings of the :mod:`warnings` module become records
    of the logger ``py.warnings``.

    Args:
        config: levels and format.
        owner: returns handle and name of the service whose code runs and the id of the call chain, or None;
            ``trionet.kernel.context.current_owner_label`` does.
        node: the node's name, for the JSON format.
        stream: where to; by default standard error.
    """
    handler = _Handler(stream)
    handler.addFilter(ServiceFilter(owner))
    handler.setFormatter(JsonFormatter(node) if config.format == "json" else TextFormatter())
    root = logging.getLogger()
    for each in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(each)
    root.addHandler(handler)
    root.setLevel(config.level)
    for name, level in config.levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)
