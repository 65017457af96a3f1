"""What a drill is, and what it finds.

To add drills: write drill/scenes/<topic>.py with `DRILLS: tuple[Drill, ...]`, and name the module in
drill/registry.py. `Drill.run` is given a Scene (drill/scene.py): servers of its own on a clean ground,
workers and a publisher as processes, waits, and the accounting that makes the Tally it returns.
drill/scenes/play.py has the usual course of a drill (load, fault, the rest, the count): most drills
are a call of `play` with their fault. What a drill expects and does not find it raises (assert), or
enters in `Tally.failures`; what is only a limit of time or load goes into `Tally.missed`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.drill.scene import Scene

#: Messages of a drill, unless somebody says otherwise.
MESSAGES = 20_000
QUICK_MESSAGES = 2_000
#: A fault shorter than this, in seconds, is none that anything would notice.
SHORTEST_FAULT = 2.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a drill is: so many messages, and faults that last `time` times as long as they do in full."""

    messages: int = MESSAGES
    time: float = 1.0

    def seconds(self, full: float) -> float:
        """How long a fault lasts that takes `full` seconds in the full drill; never longer than that."""
        return min(full, max(SHORTEST_FAULT, full * self.time))


FULL = Scale()
QUICK = Scale(QUICK_MESSAGES, 0.1)


@dataclass(frozen=True, slots=True)
class Drill:
    """A named fault. `title` says in one line what is done; `run` does it and counts.

    `quick`: whether a quick run of all drills has it; the others take longest, or show least when they are short.
    """

    name: str
    title: str
    run: Callable[[Scene], Tally]
    quick: bool = True


@dataclass(slots=True)
class Tally:
    """What a drill found, counted in the sinks at its end by plain SQL and Cypher.

    ids_in: the ids of which the publisher was told that they are safe. ids_out: those of them that are in every sink
    that was looked at. lost: what is not there, added up over the sinks. duplicated: rows beyond one an id or key,
    added up over the sinks. dead_lettered: messages in the dead-letter queues. attempts_burned: deliveries that the
    broker made again, by its own count (see penstock.drill.returned); next to none where no worker and no broker died.
    recovery_s: seconds from when the server answers again to the first write, of the slowest sink; None where nothing
    was away. `more` holds further keys of the JSON line; `failures` what failed beside the counts, a sentence each;
    `missed` the limits of time and load that were missed: shown, and no failure.
    """

    ids_in: int
    ids_out: int
    lost: int
    duplicated: int
    dead_lettered: int
    attempts_burned: int
    recovery_s: float | None = None
    more: dict[str, object] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Nothing lost, nothing twice, nothing dead-lettered, nothing else wrong."""
        return not (self.lost or self.duplicated or self.dead_lettered or self.failures)

    def limit(self, name: str, value: float | None, most: float) -> None:
        """Enter in `missed` what is above its limit, or was not seen at all."""
        if value is None or value > most:
            self.missed.append(f"{name} is {'unknown' if value is None else f'{value:.2f}'}, at most {most:g}")
