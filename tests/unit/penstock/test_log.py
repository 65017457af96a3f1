"""Logs: their shape, their levels, and no secret in any of them."""

from __future__ import annotations

import io
import json
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from penstock.log import configure, redactor
from penstock.settings import Log

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name in ("aio_pika", "aiormq", "aiormq.connection"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configured(**settings: Any) -> io.StringIO:
    stream = io.StringIO()
    configure(Log(**settings), {SECRET}, stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_and_event_first() -> None:
    log = structlog.get_logger("made.before")
    stream = configured()
    structlog.contextvars.bind_contextvars(worker="discogs-table")
    log.info("batch_written", queue="q", records=3, nothing=None)
    [line] = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert (line["level"], line["event"]) == ("info", "batch_written")
    assert (line["worker"], line["queue"], line["records"], line["nothing"]) == ("discogs-table", "q", 3, None)
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)


def test_what_is_below_the_level_is_left_out() -> None:
    stream = configured(level="warning")
    log = structlog.get_logger()
    log.info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_the_level_can_be_changed_while_loggers_are_in_use() -> None:
    log = structlog.get_logger()
    configured(level="error")
    log.info("not_seen")
    stream = configured(level="debug")
    log.debug("seen")
    assert [line["event"] for line in lines(stream)] == ["seen"]


def test_other_libraries_are_heard_from_warning_on() -> None:
    stream = configured(level="debug")
    logging.getLogger("aio_pika").info("chatter")
    logging.getLogger("aio_pika.connection").warning("lost %s", "mq")
    [line] = lines(stream)
    assert (line["event"], line["logger"], line["level"], line["message"]) == (
        "library_log",
        "aio_pika.connection",
        "warning",
        "lost mq",
    )


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_secret_is_replaced_wherever_it_is(log_format: str) -> None:
    stream = configured(format=log_format)
    log = structlog.get_logger()
    try:
        int(f"amqp://me:{SECRET}@mq")
    except ValueError as error:
        log.exception("went_wrong", error=error, nested={"list": [SECRET, {SECRET: 1}], "bytes": SECRET.encode()})
        logging.getLogger("neo4j").exception("library with %s", SECRET)
    log.info("event %s", SECRET, **{SECRET: "as a key"})
    text = stream.getvalue()
    assert SECRET not in text
    assert text.count("base 10: 'amqp://me:***@mq'") >= 2
    assert "Traceback" in text


def test_a_number_that_is_the_secret_is_replaced_and_others_are_not() -> None:
    stream = io.StringIO()
    configure(Log(), {"5432"}, stream)
    structlog.get_logger().info("numbers", port=5432, records=54321)
    [line] = lines(stream)
    assert (line["port"], line["records"]) == ("***", 54321)


def test_what_json_cannot_hold_does_not_lose_the_line() -> None:
    stream = configured()
    structlog.get_logger().info("odd", name="\udcff", big=2**70, what=object())
    [line] = lines(stream)
    assert line["event"] == "odd"
    assert line["big"] == 2**70


def test_console_lines_are_for_people() -> None:
    stream = configured(format="console")
    structlog.get_logger().info("batch_written", records=3)
    assert "batch_written" in stream.getvalue()
    assert "records=3" in stream.getvalue()


def test_the_longest_secret_is_replaced_first() -> None:
    assert redactor({"abc", "abcdef", ""})("abcdef abc") == "*** ***"
    assert redactor(())("abc") == "abc"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_logs_are_for_people_unless_set() -> None:
    shown = []
    for settings in (Log(), Log(format="console"), Log(format="json")):
        stream = Terminal()
        configure(settings, (), stream)
        structlog.get_logger().info("event")
        shown.append(stream.getvalue().startswith("{"))
    assert shown == [False, False, True]


def test_the_brokers_libraries_repeat_no_warnings_unless_for_debug() -> None:
    logged = [("aiormq.connection", "error"), ("aiormq.channel", "warning"), ("aiormq.channel", "error")]
    for level, heard in (("info", logged[-1:]), ("debug", logged)):
        stream = configured(level=level)
        logging.getLogger("aiormq.connection").error("error when creating transport")
        logging.getLogger("aiormq.channel").warning("reader exited abnormally")
        logging.getLogger("aiormq.channel").error("Consumer callback failed")
        assert [(line["logger"], line["level"]) for line in lines(stream)] == heard


def test_logs_go_to_standard_error_where_standard_output_is_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    configure(Log(), ())
    structlog.get_logger().info("event")
    assert json.loads(capsys.readouterr().err)["event"] == "event"
