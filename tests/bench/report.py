"""What was measured, as people and programs read it: lines, a table, a chart, JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from bench import chart
from bench.measured import Run, middle

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.group import Found

#: Standard output has the result alone.
_console = Console(stderr=True, width=110, highlight=False)
#: The versions that figures depend on.
PACKAGES = ("aio-pika", "aiormq", "pamqp", "asyncpg", "neo4j", "faststream", "pydantic", "orjson")


@dataclass
class Findings:
    """The runs of every contender so far, in the order in which they were first measured, and all ratios."""

    quick: bool
    started: float
    #: How many processes wanted a core in the minute before, which is to be none.
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    runs: dict[str, Sequence[Run]] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    #: Why a group came to no end, by its name.
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, found: Found) -> None:
        """Enter what a group came to."""
        self.runs.update(found.runs)
        self.ratios.update(found.ratios)
        self.figures.update(found.figures)

    def summary(self) -> dict[str, dict[str, float]]:
        """The ratios; the median rate of each contender in messages a second, and figures of other units by name."""
        rates = {name: round(middle(runs, "rate") or 0.0, 1) for name, runs in self.runs.items()}
        rates |= {name: round(value, 3) for name, value in self.figures.items()}
        return {"ratios": {name: round(ratio, 3) for name, ratio in self.ratios.items()}, "rates": rates}


def say(text: str) -> None:
    """A line for people."""
    _console.print(text)


def title(name: str, seconds: float) -> None:
    """A group begins, so many seconds after the start."""
    _console.print(f"[bold]{name}[/bold] ({seconds:.0f} s)")


def line(name: str, run: Run) -> None:
    """One run has ended."""
    _console.print(
        f"  {name:<24}{run.rate:>10,.0f} /s  {_number(run.cpu_us, 1):>8} µs CPU  {_number(run.rss_mb, 0):>6} MB"
        f"   {run.messages:,} in {run.seconds:.2f} s"
    )


def show(found: Findings) -> None:
    """The medians of all runs, and the ratios."""
    table = Table("what", title="medians of all rounds")
    for heading in ("messages/s", "from", "to", "CPU µs/message", "whole machine", "peak RSS MB", "runs"):
        table.add_column(heading, justify="right")
    for name, runs in found.runs.items():
        rates = [run.rate for run in runs]
        cpu, rss = _number(middle(runs, "cpu_us"), 1), _number(middle(runs, "rss_mb"), 0)
        machine = _number(middle(runs, "machine_us"), 1)
        rate = f"{middle(runs, 'rate') or 0:,.0f}"
        table.add_row(name, rate, f"{min(rates):,.0f}", f"{max(rates):,.0f}", cpu, machine, rss, str(len(runs)))
    _console.print(table)
    ratios = Table("ratio", title="paired by round, medians")
    ratios.add_column("×", justify="right")
    for name, ratio in found.ratios.items():
        ratios.add_row(name, f"{ratio:.2f}")
    for name, value in found.figures.items():
        ratios.add_row(name, f"{value:,.2f}", style="dim")
    _console.print(ratios)


def write(found: Findings, folder: Path) -> None:
    """bench.json with every run and what it ran on, and bench.png."""
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {
        **found.summary(),
        "failed": found.failed,
        "quick": found.quick,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.started)),
        "machine": {
            "cores": os.cpu_count(),
            "load_before": found.load,
            "system": platform.platform(),
            "python": sys.version.split()[0],
        },
        "commit": _commit(),
        "packages": {name: version(name) for name in PACKAGES},
        "runs": {
            name: [
                {**asdict(run), "rate": run.rate, "cpu_us": run.cpu_us, "machine_us": run.machine_us} for run in runs
            ]
            for name, runs in found.runs.items()
        },
    }
    (folder / "bench.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    chart.draw(found.runs, found.ratios, folder / "bench.png")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
