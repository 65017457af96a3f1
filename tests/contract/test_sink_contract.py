"""Every sink keeps the sink contract. A new sink is a line in targets.CASES."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from contract.targets import CASES, Controlled
from penstock import taken
from penstock.sink_contract import OUTAGE_CONTRACT, contract
from penstock.taken_contract import TAKEN_CONTRACT, waits_in_bounded_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from contract.targets import Case
    from penstock.sink_contract import Control, Target
    from penstock.taken_contract import BackupTarget


def _parameter(case: Case, point: Callable[..., Awaitable[None]]) -> Any:
    # ArcadeDB has no mark: it comes with the test environment.
    marks = [getattr(pytest.mark, case.needs)] if case.needs in {"postgres", "neo4j"} else []
    return pytest.param(case, point, marks=marks, id=f"{case.name}-{case.mode}-{point.__name__}")


POINTS = [_parameter(case, point) for case in CASES for point in contract(case.mode)]
TAKEN = [_parameter(case, point) for case in CASES for point in TAKEN_CONTRACT]
OUTAGES = [_parameter(case, point) for case in CASES if case.needs for point in OUTAGE_CONTRACT]


@pytest.fixture
def target(request: pytest.FixtureRequest, case: Case) -> BackupTarget:
    url = request.getfixturevalue(f"{case.needs}_url") if case.needs else ""
    return case.make(url, case.mode)


@pytest.fixture
def control(request: pytest.FixtureRequest, case: Case) -> Iterator[Controlled]:
    server = request.getfixturevalue(f"own_{case.needs}")
    yield Controlled(server)
    server.start()  # for the next test, if this one failed half-way


@pytest.mark.parametrize(("case", "point"), POINTS)
async def test_contract(target: Target, point: Callable[[Target], Awaitable[None]]) -> None:
    await point(target)


@pytest.mark.parametrize(("case", "point"), TAKEN)
async def test_taken_contract(
    target: BackupTarget, case: Case, point: Callable[[BackupTarget], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if point is waits_in_bounded_time and case.needs != "neo4j":
        # A cold Neo4j needs its seconds; the others can give up sooner.
        monkeypatch.setattr(taken, "LOCK_LIMIT", 1)
    await point(target)


@pytest.mark.parametrize(("case", "point"), OUTAGES)
async def test_outage_contract(
    case: Case, control: Controlled, point: Callable[[Target, Control], Awaitable[None]]
) -> None:
    await point(case.make(control.url, case.mode), control)
