"""The drills of a test run: all under way from its first test on, for they wait more than they work."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from penstock.drill.definition import Drill, Scale
from penstock.drill.servers import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from penstock.drill.lanes import Lanes
    from penstock.drill.report import Result

#: Faults of 2 to 3 s.
SHORT = Scale(600, 0.05)
#: How many drills side by side where the run has no other test; and beside others, to which they give way, so nice.
ALONE, BESIDE, NICENESS = 2, 1, 5
#: Lines of what they printed that a failed test shows.
LINES = 30


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What each drill of the run, by name, will have found; what they print goes to the file `output`."""

    output: Path
    found: dict[str, Future[Result]] = field(default_factory=dict)

    def tail(self) -> str:
        """The last lines that they have printed."""
        with self.output.open(errors="replace") as lines:
            return "".join(deque(lines, LINES))

    def run(self, lanes: Lanes, drills: Sequence[Drill]) -> None:
        """Run them to their end; whatever ends this too soon is what the others found."""
        try:
            lanes.run(drills, lambda name, result: self.found[name].set_result(result))
        except Exception as error:
            for found in self.found.values():
                if not found.done():
                    found.set_exception(error)
            raise


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The drills' own file comes last: it finds them ended, or near their end."""
    files = {item.path for item in items if _drill(item)}
    items.sort(key=lambda item: item.path in files)


@pytest.fixture(scope="session", autouse=True)
def drills_under_way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UnderWay]:
    """The drills that tests of this run ask for; they are ended with the run, however it ends."""
    items = request.session.items
    drills = [drill for drill in map(_drill, items) if drill]
    under_way = UnderWay(tmp_path_factory.mktemp("drills") / "output", {drill.name: Future() for drill in drills})
    if not drills:
        yield under_way
        return
    # Here: all their scenes come with it, which a run of the unit tests need not wait for.
    from penstock.drill.lanes import Lanes  # noqa: PLC0415

    alone = len({item.path for item in items}) == 1
    with under_way.output.open("a", buffering=1) as output, ThreadPoolExecutor(1, initializer=_give_way) as thread:
        lanes = Lanes(ALONE if alone else BESIDE, SHORT, lambda text: print(text, file=output), output)
        running = thread.submit(under_way.run, lanes, drills)
        yield under_way
        lanes.interrupt()
        with suppress(Unavailable):  # which those tests have said that asked for them
            running.result()


def _drill(item: pytest.Item) -> Drill | None:
    """The drill whose result a test asks for."""
    found = item.callspec.params.get("drill") if hasattr(item, "callspec") else None
    return found if isinstance(found, Drill) else None


def _give_way() -> None:
    # Of this thread, as Linux counts, and of what it starts.
    os.nice(NICENESS)
