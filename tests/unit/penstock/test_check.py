"""Looking at the servers of a worker, with brokers and sinks that are not there or not as they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from penstock import check
from penstock.check import CheckResult, check_worker, sink_of
from penstock.errors import LinkError, SettingsError, TopologyError, TopologyMissing, UsageError
from penstock.settings import QueueSettings, Settings
from penstock.sink import Endpoint
from penstock.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.broker import TopologyMode

MADE = "what is not there of its queues will be made at the start"


class FakeSink:
    """A sink whose `open` raises what it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = False

    async def open(self, _endpoint: Endpoint) -> None:
        if self.error is not None:
            raise self.error

    async def ping(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


def worker(sink: Callable[..., Any], endpoints: tuple[Endpoint, ...] = (Endpoint("primary", "fake://"),)) -> Worker:
    return Worker(
        name="orders", model=dict, natural_key=id, mapping=id, sink=sink, endpoints=lambda _settings: endpoints
    )


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> dict[TopologyMode, Exception]:
    """A broker that answers each mode of looking at a topology with what is put in here."""
    answers: dict[TopologyMode, Exception] = {}

    async def nothing(*_arguments: object) -> None:
        pass

    async def ensure_topology(_connection: object, _topology: object, mode: TopologyMode) -> None:
        if mode in answers:
            raise answers[mode]

    monkeypatch.setattr(check, "connect", nothing)
    monkeypatch.setattr(check, "close", nothing)
    monkeypatch.setattr(check, "ensure_topology", ensure_topology)
    return answers


async def broker_result(topology: TopologyMode) -> CheckResult:
    settings = Settings(queue=QueueSettings.model_validate({"topology": topology}))
    [found, _sink] = await check_worker(worker(lambda *_: FakeSink()), settings)
    assert found.subject == "orders: RabbitMQ, queue orders"
    return found


async def test_what_is_missing_is_made_at_the_start_or_a_problem(broker: dict[TopologyMode, Exception]) -> None:
    found = await broker_result("declare")
    assert (found.problem, found.note) == (None, "")
    broker["check"] = TopologyMissing("no queue 'orders'")
    found = await broker_result("declare")
    assert (found.problem, found.note) == (None, MADE)
    found = await broker_result("check")
    assert (found.problem, found.note) == ("no queue 'orders'", "")


@pytest.mark.parametrize("error", [TopologyError("another x-delivery-limit"), LinkError("the broker is gone")])
async def test_what_is_otherwise_is_a_problem(broker: dict[TopologyMode, Exception], error: Exception) -> None:
    broker["compare"] = error
    assert (await broker_result("declare")).problem == str(error)


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize(
    ("error", "problem"),
    [(OSError("no\nroute"), "OSError: no route"), (TimeoutError(), "no answer within 30 s"), (None, None)],
)
async def test_whatever_a_sink_raises_is_its_result_and_it_is_closed(
    error: Exception | None, problem: str | None
) -> None:
    sink = FakeSink(error)
    [_broker, found] = await check_worker(worker(lambda *_: sink), Settings())
    assert (found.subject, found.problem) == ("orders: sink primary", problem)
    assert sink.closed


@pytest.mark.usefixtures("broker")
async def test_a_sink_that_cannot_be_made_is_a_result() -> None:
    def fail(*_arguments: object) -> Any:
        raise KeyError("table")

    [_broker, found] = await check_worker(worker(fail), Settings())
    assert found == CheckResult("orders: sink", "worker orders: its sink cannot be made: KeyError: 'table'")
    with pytest.raises(UsageError, match="worker orders: its sink cannot be made"):
        sink_of(worker(fail), Settings())


def test_a_sink_without_a_server_is_refused() -> None:
    with pytest.raises(SettingsError, match="worker orders has no endpoint"):
        sink_of(worker(lambda *_: FakeSink(), endpoints=()), Settings())
