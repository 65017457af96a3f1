"""Drills side by side, in processes with servers of their own."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from penstock.drill.lane import Lane
from penstock.drill.runner import told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

    from penstock.drill.definition import Drill, Scale
    from penstock.drill.report import Result


class Lanes:
    """So many lanes, each of which takes a drill when it is free: every other lane the first, the others the last.

    So that of the drills that are together in the registry, and heavy for the same reason, few run at the same time.
    A drill that waits for a server leaves the machine to the others; its limits of time it meets on a busier machine.
    `say` prints a line for people; `log` is as in Lane.
    """

    def __init__(self, count: int, scale: Scale, say: Callable[[str], None], log: IO[str] | None = None) -> None:
        self._count = count
        self._scale = scale
        self._say = say
        self._log = log
        self._waiting: deque[Drill] = deque()
        self._running: set[Lane] = set()
        self._interrupted = False

    def run(self, drills: Sequence[Drill], done: Callable[[str, Result], None] = lambda *_: None) -> dict[str, Result]:
        """Run the drills; by name, what each found. `done` is told of each at its end, in the thread of its lane.

        A KeyboardInterrupt ends them all, with all that they have started, before it is raised again.
        """
        self._waiting.extend(drills)
        found: dict[str, Result] = {}

        def enter(name: str, result: Result) -> None:
            found[name] = result
            done(name, result)

        with ThreadPoolExecutor(self._count) as threads:
            takes = (self._waiting.popleft, self._waiting.pop)
            lanes = [threads.submit(self._work, takes[number % 2], enter) for number in range(self._count)]
            try:
                for lane in lanes:
                    lane.result()
            except BaseException:
                self.interrupt()
                raise
        return {drill.name: found[drill.name] for drill in drills if drill.name in found}

    def interrupt(self) -> None:
        """End what is under way, and begin nothing more."""
        self._interrupted = True
        self._waiting.clear()
        for lane in list(self._running):
            lane.interrupt()

    def _work(self, take: Callable[[], Drill], enter: Callable[[str, Result], None]) -> None:
        drill = _next(take)
        while drill is not None:
            with Lane(self._scale, self._log) as lane:
                self._running.add(lane)
                if self._interrupted:
                    lane.interrupt()
                while drill is not None and lane.alive:
                    enter(drill.name, told(drill, self._say, partial(lane.run, say=self._say)))
                    drill = _next(take)
                self._running.discard(lane)


def _next(take: Callable[[], Drill]) -> Drill | None:
    try:
        return take()
    except IndexError:
        return None
