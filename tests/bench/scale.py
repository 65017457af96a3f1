"""How much is measured: everything, or in a few minutes what shows where things stand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Messages of each kind of run, and rounds in which all contenders take their turn."""

    rows: int
    records: int
    letters: int
    spilled: int
    rounds: int
    graph_rounds: int
    other_rounds: int
    #: Messages of a megabyte.
    large: int
    #: Messages whose latency is taken, in each round.
    samples: int
    #: How long an outage lasts.
    outage_seconds: float


def slow(messages: int, least: int) -> int:
    """How many messages a contender takes that writes one at a time: its rate does not depend on their number."""
    return min(messages, max(least, messages // 10))


FULL = Scale(
    rows=100_000,
    records=50_000,
    letters=10_000,
    spilled=50_000,
    rounds=5,
    graph_rounds=3,
    other_rounds=3,
    large=400,
    samples=300,
    outage_seconds=300,
)
QUICK = Scale(
    rows=20_000,
    records=5_000,
    letters=1_000,
    spilled=10_000,
    rounds=3,
    graph_rounds=3,
    other_rounds=2,
    large=100,
    samples=100,
    outage_seconds=30,
)
#: Messages of 400 bytes stand for all others in the ratios; the others are reported.
USUAL_BYTES = 400
OTHER_BYTES = (100, 4096)
LARGE_BYTES = 1_000_000
