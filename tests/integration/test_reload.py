"""SIGHUP: batch and prefetch change while a worker runs; settings that are wrong change nothing."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import yaml

from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from support import broker, stores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock.drill.installation import Process
    from penstock.drill.servers.management import Management

NAME = "discogs-table"


@pytest.fixture
def installation(broker_url: str, postgres_url: str, tmp_path: Path) -> Installation:
    """A worker that reads its settings from a file."""
    return Installation(
        {"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url, "PENSTOCK_CONFIG": str(tmp_path / "penstock.yaml")}
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """Write the file that the worker reads."""

    def write(**sections: object) -> None:
        (tmp_path / "penstock.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")

    return write


@pytest.fixture
def prefetch(management: Management, virtual_host: str) -> Callable[[], list[int]]:
    """Ask the broker for the prefetch of each consumer of the queue."""

    def ask() -> list[int]:
        return [found["prefetch_count"] for found in management.queue(virtual_host, NAME).get("consumer_details", [])]

    return ask


async def test_batch_and_prefetch_change_while_it_runs(
    installation: Installation,
    write: Callable[..., None],
    prefetch: Callable[[], list[int]],
    broker_url: str,
    postgres_url: str,
) -> None:
    write(batch={"count": 20, "period": 3600}, queue={"prefetch": 50})
    with installation.start("run", NAME) as worker:
        worker.wait_ready()
        wait_until(lambda: prefetch() == [50], 20, "a prefetch of 50")
        await publish(broker_url, range(1, 21))
        written(worker, 20)
        assert worker.metric("penstock_batch_size_count") == 1

        write(batch={"count": 40, "period": 3600}, queue={"prefetch": 70})
        worker.signal(signal.SIGHUP)
        reloaded = worker.wait_for("reloaded")
        assert (reloaded["batch_count"], reloaded["prefetch"]) == (40, 80)
        wait_until(lambda: prefetch() == [80], 20, "a prefetch of 80, twice the batch")
        health = worker.get("/health").json()
        assert (health["sink"]["batch_count"], health["broker"]["prefetch"]) == (40, 80)
        assert health["broker"]["paused_for"] == []
        assert health["broker"]["generation"] == 1
        # The batch that waits to be filled keeps its size of 20; the next one has 40.
        await publish(broker_url, range(21, 81))
        written(worker, 80)
        assert worker.metric("penstock_batch_size_count") == 3
        assert worker.metric("penstock_settled_messages_total", settlement="ack") == 80
        assert worker.stop() == 0
    assert await stores.rows(postgres_url, "artists") == 80


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        ("batch: {count: many}", "batch.count"),
        ("batch: {cuont: 5}", "cuont"),
        ("batch: [", "penstock.yaml"),
        (None, "penstock.yaml"),
    ],
)
async def test_settings_that_are_wrong_are_logged_and_the_old_ones_stay(
    installation: Installation,
    write: Callable[..., None],
    broker_url: str,
    postgres_url: str,
    tmp_path: Path,
    broken: str | None,
    named: str,
) -> None:
    write(batch={"count": 20}, queue={"prefetch": 50})
    with installation.start("run", NAME) as worker:
        worker.wait_ready()
        file = tmp_path / "penstock.yaml"
        if broken is None:
            file.unlink()
        else:
            file.write_text(broken, encoding="utf-8")
        worker.signal(signal.SIGHUP)
        failed = worker.wait_for("reload_failed")
        assert failed["level"] == "warning"
        assert named in failed["error"]
        health = worker.get("/health").json()
        assert (health["sink"]["batch_count"], health["broker"]["prefetch"]) == (20, 50)
        await publish(broker_url, range(1, 31))
        written(worker, 30)
        # Mended, it is taken.
        write(batch={"count": 25}, queue={"prefetch": 50})
        worker.signal(signal.SIGHUP)
        assert worker.wait_for("reloaded")["batch_count"] == 25
        assert worker.stop() == 0
    assert await stores.rows(postgres_url, "artists") == 30


async def publish(url: str, numbers: range) -> None:
    await broker.publish(url, "discogs", [("artist", {"type": "artist", "id": str(number)}) for number in numbers])


def written(worker: Process, count: int) -> None:
    wait_until(lambda: worker.metric("penstock_outcomes_total", outcome="written") == count, 20, f"{count} are written")
