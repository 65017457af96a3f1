"""How far a publish is, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from rich.console import Console

from penstock.cli import progress as module
from penstock.cli.progress import lines, progress, seldom

if TYPE_CHECKING:
    import pytest


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(module, "Console", lambda **_: Console(file=screen, force_terminal=True, width=80))
    monkeypatch.setattr(module, "_BAR_PERIOD", 0.0)
    with progress(2_000_000_000) as report:
        report("discogs_20200806_releases.xml.gz", 1_234_000_000, 12_345_678)
    frames = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()
    # All on one line of a terminal of 80, whatever has to be cut of the name.
    [*_, last] = [frame for frame in frames if frame.strip()]
    assert last.startswith("disco")
    assert "read 1.2/2.0 GB" in last
    assert "12,345,678 confirmed" in last
    assert "/s" in last


def test_elsewhere_there_are_plain_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "_LINE_PERIOD", 0.0)
    with progress(None) as report:
        report("dump.xml.gz", 1_000, 1_234)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("penstock: dump.xml.gz: 1,234 messages confirmed, ")
    assert "\x1b" not in line


def test_lines_tell_messages_rate_bytes_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    lines(4_000_000, 100.0, lambda: 110.0)("dump.xml.gz", 1_000_000, 5_000)
    expected = "penstock: dump.xml.gz: 5,000 messages confirmed, 500/s, read 1.0 MB of 4.0 MB (25%), 30 s left\n"
    assert capsys.readouterr().err == expected
    lines(None, 100.0, lambda: 110.0)("-", 1_000, 10)
    assert capsys.readouterr().err == "penstock: -: 10 messages confirmed, 1/s, read 1.0 kB\n"


def test_a_report_is_passed_on_once_in_a_period() -> None:
    now, told = 0.0, []
    report = seldom(5, lambda _file, consumed, _confirmed: told.append(consumed), lambda: now)
    for now in (0.0, 4.9, 5.0, 5.1, 9.9, 10.0):
        report("file", int(now * 10), 0)
    assert told == [50, 100]
