"""The story on a terminal and elsewhere."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from penstock.demo import progress as module
from penstock.demo.progress import Lines, display, line
from penstock.demo.snapshot import Snapshot, WorkerState
from penstock.demo.workers import WorkerLook

if TYPE_CHECKING:
    from typing import TextIO

PAUSED = WorkerState("discogs-table", WorkerLook("half_open", ("sink",), 567, {"written": 123_456}), 233, 1_234.4)
GOING_ON = WorkerState("discogs-graph", WorkerLook(outcomes={"written": 1, "duplicate": 123_456}))
OUTAGE = Snapshot((PAUSED, GOING_ON), 1_600, 800, 3_856, 5_050, outage=True)


def test_a_line_says_all_of_it() -> None:
    assert line(OUTAGE) == (
        "published 1,600 | rows 800 (PostgreSQL is down), nodes 3,856, edges 5,050"
        " | discogs-table: breaker half-open, paused, held 567, queued 233, 1,234 records/s"
        " | discogs-graph: breaker closed, held 0, queued 0, 0 records/s"
    )


def test_elsewhere_a_change_of_state_is_a_line_and_numbers_are_one_a_second(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 10.0
    lines = Lines(lambda: now)

    def printed(snapshot: Snapshot) -> list[str]:
        lines.show(snapshot)
        return capsys.readouterr().err.splitlines()

    start = Snapshot((replace(PAUSED, look=WorkerLook()), GOING_ON))
    assert printed(start) == [f"penstock:   0.0 s  {line(start)}"]
    now = 10.9
    assert printed(replace(start, rows=1)) == []
    now = 11.0
    assert printed(replace(start, rows=2)) == [f"penstock:   1.0 s  {line(replace(start, rows=2))}"]
    # At once, however soon after the last line.
    assert len(printed(replace(start, rows=2, outage=True))) == 1
    now = 20.0
    assert printed(replace(start, rows=2, outage=True)) == []


def test_elsewhere_the_story_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with display() as story:
        story.say("PostgreSQL is [down]")
        story.show(OUTAGE)
        story.finish()
        story.say("the end")
    out, err = capsys.readouterr()
    assert out == ""
    first, second, third = err.splitlines()
    assert (first, third) == ("penstock: PostgreSQL is [down]", "penstock: the end")
    assert "breaker half-open, paused" in second
    assert "\x1b" not in err


def test_on_a_terminal_of_80_all_of_the_table_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(
        module, "Console", lambda **_: Console(file=screen, force_terminal=True, width=80, highlight=False)
    )
    with display() as story:
        story.say("PostgreSQL is [down]")
        story.show(OUTAGE)
        story.finish()
        story.say("the end")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()
    assert "…" not in screen.getvalue()
    assert any("PostgreSQL is [down]" in text for text in lines)
    *_, table_row = [text.split() for text in lines if "discogs-table" in text]
    assert table_row == ["discogs-table", "half-open,", "paused", "123,456", "0", "567", "233", "1,234"]
    *_, graph_row = [text.split() for text in lines if "discogs-graph" in text]
    assert graph_row == ["discogs-graph", "closed", "1", "123,456", "0", "0", "0"]
    assert any("published 1,600; rows 800 (PostgreSQL is down), nodes 3,856, edges 5,050" in text for text in lines)
    assert lines[-1].endswith("the end")


def test_that_nobody_reads_it_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Closed())
    lines = Lines(lambda: 0.0)
    lines.say("nobody reads this")
    lines.show(OUTAGE)


def test_that_the_terminal_is_gone_hides_not_how_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = os.openpty()

    def tell(terminal: TextIO) -> None:
        monkeypatch.setattr(
            module, "Console", lambda **_: Console(file=terminal, force_terminal=True, width=80, highlight=False)
        )
        with display() as story:
            story.say("while it is there")
            seen = b""
            while b"while it is there" not in seen:
                seen += os.read(theirs, 1000)
            os.close(theirs)
            story.say("interrupted")
            story.show(OUTAGE)
            raise LookupError("how it ended")

    # At its end the file writes what it could not write before, as Python does with standard error.
    with pytest.raises(LookupError, match="how it ended"), os.fdopen(ours, "w") as terminal:
        tell(terminal)
