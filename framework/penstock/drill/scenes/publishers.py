"""Drills of the publisher: it is killed, and the broker with it; and what its outbox costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.drill.definition import Drill
from penstock.drill.outbox_cost import measure

if TYPE_CHECKING:
    from penstock.drill.definition import Tally
    from penstock.drill.scene import Scene

#: Publishes of this drill in full.
PUBLISHES = 10_000
#: What a stored publish may cost, as a multiple of a bare commit.
MOST_COST = 3.0


def killed(scene: Scene) -> Tally:
    """The broker is killed, then the publisher while it stores; both again, while the outbox is drained."""
    count = min(scene.messages, PUBLISHES)
    server, publishing = scene.server("rabbitmq"), scene.publishing
    scene.workers(*scene.names)
    scene.wait_grown()
    publishing.start(range(count))
    publishing.wait_safe(int(0.2 * count))
    server.kill()
    publishing.wait_safe(int(0.4 * count))
    _kill_and_start(scene, count)
    publishing.wait_safe(int(0.5 * count))
    server.start()
    publishing.wait_safe(int(0.6 * count))
    publishing.kill()
    server.kill()
    publishing.start(range(max(publishing.safe()) + 1, count))
    publishing.wait_safe(int(0.8 * count))
    server.start()
    publishing.wait()
    safe = publishing.safe()
    assert max(safe) == count - 1
    assert len(safe) == len(set(safe))
    scene.settle()
    tally = scene.tally()
    cost = measure(scene.folder)
    tally.more |= {"append_ratio": round(cost.ratio, 2), "append_ms": cost.append_ms, "commit_ms": cost.commit_ms}
    tally.limit("append_ratio", cost.ratio, MOST_COST)
    return tally


def _kill_and_start(scene: Scene, count: int) -> None:
    scene.publishing.kill()
    scene.publishing.start(range(max(scene.publishing.safe()) + 1, count))


DRILLS = (Drill("publisher-killed", "10,000 publishes through kill -9 of the broker and of the publisher", killed),)
