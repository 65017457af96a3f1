"""The endpoints of a worker: in which order they are, and which sets of them are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field
from structlog.testing import capture_logs

from penstock.check import check_worker, sink_of
from penstock.endpoints import endpoints_of
from penstock.errors import LinkError, SettingsError
from penstock.settings import Settings
from penstock.sink import Endpoint
from penstock.worker import Mode, Worker
from support.endpoints import ServedSink, Server, Site, failover_settings

EAST, WEST, NORTH = Endpoint("one", "1", "east"), Endpoint("two", "2", "west"), Endpoint("three", "3", "north")


class Versioned(BaseModel):
    version: int


class Named(BaseModel):
    name: str


@dataclass
class Dated:
    version: int


class Plain:
    """No more than a sink."""


def worker(
    *endpoints: Endpoint,
    model: Any = Versioned,
    mode: Mode = "upsert",
    sink: Any = lambda *_: ServedSink({}),
    **more: Any,
) -> Worker:
    return Worker(
        name="orders",
        model=model,
        natural_key=id,
        mapping=id,
        sink=sink,
        endpoints=lambda _: endpoints,
        mode=mode,
        **more,
    )


def refused(asked: Worker, settings: Settings) -> str:
    with pytest.raises(SettingsError) as caught:
        sink_of(asked, settings)
    text = str(caught.value)
    assert text.startswith("worker orders")
    assert "\n" not in text
    return text


def test_replica_puts_the_own_region_first_and_keeps_the_order_otherwise() -> None:
    found = endpoints_of(worker(EAST, WEST, NORTH), failover_settings("replica", region="north"))
    assert found == (NORTH, EAST, WEST)
    assert endpoints_of(worker(EAST, WEST), failover_settings("replica")) == (EAST, WEST)


def test_independent_has_one_primary_for_all_regions_and_its_backup_keeps_what_it_takes() -> None:
    for region in ("", "east", "west"):
        one, two = endpoints_of(worker(EAST, WEST), failover_settings("independent", region=region))
        assert (one, two) == (EAST, Endpoint("two", "2", "west", records_taken=True))


def test_a_backup_without_a_mode_is_refused_and_both_modes_named() -> None:
    text = refused(worker(EAST, WEST), Settings())
    assert "failover.mode (PENSTOCK_FAILOVER__MODE) is not set: set it to replica" in text
    assert "or to independent" in text


def test_independent_takes_one_backup() -> None:
    assert "takes one backup" in refused(worker(EAST, WEST, NORTH), failover_settings("independent"))


def test_the_same_server_twice_is_refused() -> None:
    assert "are the same (one, one)" in refused(worker(EAST, EAST), failover_settings("replica"))


@pytest.mark.parametrize("model", [Named, Versioned | Named, Annotated[Named, Field()], dict[str, Any]])
def test_independent_without_a_version_is_refused_and_said_how_to_mend(model: Any) -> None:
    text = refused(worker(EAST, WEST, model=model), failover_settings("independent"))
    assert "mode append, or records with a version" in text
    endpoints_of(worker(EAST, WEST, model=model), failover_settings("replica"))


@pytest.mark.parametrize("model", [Versioned, Dated, Annotated[Versioned | Dated, Field()]])
def test_independent_takes_a_version_or_append(model: Any) -> None:
    settings = failover_settings("independent")
    endpoints_of(worker(EAST, WEST, model=model), settings)
    endpoints_of(worker(EAST, WEST, model=Named, mode="append"), settings)
    endpoints_of(worker(EAST, WEST, model=Named, version=len), settings)


@pytest.mark.parametrize("mode", ["replica", "independent"])
def test_a_sink_that_cannot_do_it_is_refused(mode: str) -> None:
    text = refused(worker(EAST, WEST, sink=lambda *_: Plain()), failover_settings(mode))
    assert f"its sink (Plain) cannot do failover.mode (PENSTOCK_FAILOVER__MODE) {mode}" in text


def test_a_mode_without_a_backup_is_warned_of() -> None:
    with capture_logs() as logs:
        Site(failover_settings("replica"), Server("one"))
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["failover_without_backup"]


async def test_check_looks_at_all_and_says_what_each_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_broker(*_: object) -> None:
        raise LinkError("no broker")

    monkeypatch.setattr("penstock.check.connect", no_broker)
    one, two = Server("one"), Server("two")
    two.writable = False
    site = Site(failover_settings("replica"), one, two)
    [_, *found] = await check_worker(site.worker, site.settings)
    assert [(result.subject, result.problem, result.note) for result in found] == [
        ("orders: sink one", None, "primary, timeline 1, commits wait for a standby"),
        ("orders: sink two", None, "standby, timeline 1"),
    ]
    one.synchronous = False
    [*_, last] = await check_worker(site.worker, site.settings)
    assert last.subject == "orders: failover"
    assert "synchronous_standby_names" in str(last.problem)
