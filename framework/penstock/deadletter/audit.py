"""The audit lines: who changed a DLQ by hand, when, which letters were meant, and what became of them."""

from __future__ import annotations

import os
import pwd
import socket
import uuid
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from penstock.codec import Codec
from penstock.deadletter.filter import BodyPath, Filter
from penstock.deadletter.transfer import Tally
from penstock.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.clock import Clock
    from penstock.deadletter.transfer import Transfer
    from penstock.settings import Settings

log = structlog.get_logger(__name__)


async def carried_out(transfer: Transfer, event: str, tally: Tally | None = None, **more: Any) -> Tally:
    """Run a transfer, with its audit lines unless it is a dry run. Counts in `tally`. Raises as both do."""
    tally = tally or Tally(transfer.queue)
    if transfer.manner.dry_run:
        await transfer.run(tally)
    else:
        with audited(event, transfer.wanted, tally, transfer.settings, transfer.manner.clock, **more):
            await transfer.run(tally)
    return tally


@contextmanager
def audited(event: str, wanted: Filter, tally: Tally, settings: Settings, clock: Clock, **more: Any) -> Iterator[None]:
    """Write a line before the block and one after it, however it ends: on the log and, if set, in dlq.audit.

    `event` is what was done, such as dead_letters_replayed. The line before is on the disk when the block begins,
    so that a kill leaves it. Raises SettingsError before the block where the file cannot be written.
    """
    line = {
        "event": event,
        "id": uuid.uuid4().hex,
        "by": user(),
        "host": socket.gethostname(),
        "filter": described(wanted),
        **more,
    }
    _write({**line, "queue": tally.queue, "stage": "begun"}, settings, clock)
    stage = "failed"
    try:
        yield
        stage = "ended"
    finally:
        _write({**line, **tally.as_json(), "stage": stage}, settings, clock)


def user() -> str:
    """The name of the operating system's user, or its number where it has none. No variable can change it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def described(wanted: Filter) -> dict[str, Any]:
    """A filter as JSON can say it: what was given, ages in seconds. Empty: every letter."""
    given = ((one.name, getattr(wanted, one.name)) for one in fields(wanted))
    return {name: _plain(value) for name, value in given if value and not isinstance(value, Codec)}


def _plain(value: Any) -> Any:
    match value:
        case timedelta():
            return value.total_seconds()
        case BodyPath(path, None):
            return path
        case BodyPath(path, wanted):
            return f"{path}={wanted}"
        case tuple():
            return [_plain(one) for one in value]
        case dict():
            return dict(value)
        case _:
            return str(value)


def _write(line: dict[str, Any], settings: Settings, clock: Clock) -> None:
    # A warning, so that it is in the log of every command: it is not often that somebody does this.
    log.warning(**line)
    if settings.dlq.audit is None:
        return
    path = Path(settings.dlq.audit).expanduser()
    timestamp = datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="milliseconds")
    try:
        with path.open("ab") as file:
            file.write(orjson.dumps({"timestamp": timestamp, **line}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SettingsError(f"dlq.audit: {path} cannot be written: {error.strerror}") from error
