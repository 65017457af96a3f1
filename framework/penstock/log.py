"""Logs: one JSON object a line (or text for people), with every known secret replaced."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import orjson
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import TextIO

    from structlog.typing import EventDict, Processor, WrappedLogger

    from penstock.settings import Log

_MASK = "***"
#: From which level on the broker's client libraries are heard: each failed try to connect and each lost connection
#: is a line of our own, theirs come with a traceback.
_TALKATIVE = {"aio_pika": logging.ERROR, "aiormq": logging.ERROR, "aiormq.connection": logging.CRITICAL}
#: Made by the pipeline itself, so that they hold no text from outside; they come first in every line.
_OWN_FIELDS = ("timestamp", "level")


def configure(
    log: Log, secrets: Collection[str], stream: TextIO | None = None, *, libraries: int = logging.WARNING
) -> None:
    """Send our events, and those of libraries from the level `libraries` on, to `stream` (standard output).

    Each of `secrets` is replaced by `***` wherever it turns up, in the text of an exception too.
    The broker's client libraries are heard in errors only, and not on what is told already, but for our level debug.
    May be called again: loggers made before follow, those with bound values excepted.
    """
    # Standard output is None where it was closed (>&-).
    stream = stream or sys.stdout or sys.stderr
    redact = _redaction(redactor(secrets))
    enrich: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    render: list[Processor] = [redact, _renderer(log, stream)]
    structlog.configure(
        processors=[*enrich, *render],
        wrapper_class=structlog.make_filtering_bound_logger(log.level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_foreign, *enrich],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(libraries)
    for name, level in _TALKATIVE.items():
        logging.getLogger(name).setLevel(logging.NOTSET if log.level == "debug" else max(libraries, level))


def redactor(secrets: Collection[str]) -> Callable[[str], str]:
    """Return a function that replaces each of `secrets` in a text by `***`."""
    known = sorted(filter(None, secrets), key=len, reverse=True)
    if not known:
        return str
    pattern = re.compile("|".join(map(re.escape, known)))
    return lambda text: pattern.sub(_MASK, text)


def _redaction(redact: Callable[[str], str]) -> Processor:
    def clean(value: object) -> object:
        match value:
            case None | bool() | int() | float():
                # A number can be a secret too: a password of digits, parsed.
                return _MASK if redact(repr(value)) == _MASK else value
            case str():
                return redact(value)
            case dict():
                return {redact(str(key)): clean(item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [clean(item) for item in value]
            case _:
                return redact(str(value) if isinstance(value, BaseException) else repr(value))

    def process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        own = {key: event.pop(key) for key in _OWN_FIELDS if key in event}
        text = clean(event.pop("event", ""))
        return {**own, "event": text, **{redact(key): clean(value) for key, value in event.items()}}

    return process


def _foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Give another library's line a stable event name; its text becomes the message."""
    record: logging.LogRecord = event["_record"]
    return {**event, "event": "library_log", "logger": record.name, "message": event["event"]}


def _renderer(log: Log, stream: TextIO) -> Processor:
    match log.format or ("console" if stream.isatty() else "json"):
        case "json":
            return structlog.processors.JSONRenderer(serializer=_json)
        case "console":
            return structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
            )


def _json(event: EventDict, **_options: Any) -> str:
    try:
        return orjson.dumps(event).decode()
    except TypeError:
        # A lone surrogate (os.fsdecode makes them) or an integer of more than 64 bits must not lose the line.
        return json.dumps(event)
