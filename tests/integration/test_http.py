"""What a worker answers over HTTP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from penstock.drill.servers.wait import wait_until
from support import broker

if TYPE_CHECKING:
    from penstock.drill.installation import Installation


async def test_the_five_answers(penstock: Installation, broker_url: str) -> None:
    with penstock.start("run", "discogs-table") as worker:
        worker.wait_ready()
        before = worker.get("/health").json()
        assert before["sink"]["last_write_seconds_ago"] is None
        await broker.publish(broker_url, "discogs", [("artist", {"type": "artist", "id": "1"})])
        wait_until(lambda: worker.metric("penstock_outcomes_total", outcome="written") == 1, 20, "written")

        assert worker.get("/livez").status_code == 200
        assert worker.get("/readyz").status_code == 200
        version = worker.get("/version").json()
        assert (version["name"], version["worker"]) == ("penstock", "discogs-table")
        health = worker.get("/health").json()
        assert health["status"] == "ok"
        assert health["broker"]["connected"]
        assert health["broker"]["consuming"]
        assert health["broker"]["prefetch"] >= 2 * health["sink"]["batch_count"]
        assert health["queue"]["name"] == "discogs-table"
        assert {"depth", "oldest_message_age_seconds"} <= health["queue"].keys()
        assert health["sink"]["endpoint"]
        assert 0 <= health["sink"]["last_write_seconds_ago"] < 60
        assert health["breaker"] == {"state": "closed", "last_error": None}
        assert health["outages"] == {"present_seconds": None, "count": 0, "flaps": 0}
        assert 1 <= health["pool"]["open"] <= health["pool"]["limit"]
        assert health["server"]["connections"]["discogs-table"] >= 1
        assert 0 < health["server"]["connections_share"] < 1
        metrics = worker.get("/metrics").text
        for name in (
            "penstock_received_messages_total",
            "penstock_settled_messages_total",
            "penstock_batch_size_bucket",
            "penstock_sink_write_seconds_bucket",
            "penstock_breaker_state",
            "penstock_endpoint_active",
            "penstock_outage_age_seconds",
            "penstock_pool_connections",
            "penstock_pool_acquire_seconds_sum",
            "penstock_server_connections_share",
            "penstock_server_read_seconds",
        ):
            assert f"{name}{{" in metrics
        assert worker.stop() == 0


async def test_health_tells_depth_and_age_in_an_outage(penstock: Installation, broker_url: str) -> None:
    started = time.time()
    penstock.drain("discogs-table")
    nowhere = penstock.with_settings(POSTGRES_URL="postgresql://postgres:x@127.0.0.1:1/none", queue__watchdog=0.2)
    with nowhere.start("run", "discogs-table") as worker:
        worker.wait_for("start_waits")
        penstock.done(
            "publish", "jsonl", "/dev/null", "--exchange", "discogs", "--routing-key", "artist"
        )  # nothing in it: nothing published
        await broker.publish(broker_url, "discogs", [("artist", {"type": "artist", "id": "1"})] * 7)
        wait_until(lambda: worker.get("/health").json()["queue"]["depth"] == 7, 30, "the depth is seen")
        assert worker.get("/livez").status_code == 200
        ready = worker.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["reason"]
        assert worker.stop() == 0
    assert time.time() - started < 90
