"""Drills of the broker: it goes away, blocks, or its queues are made anew."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from penstock.drill import faults_rabbitmq
from penstock.drill.definition import Drill
from penstock.drill.scenes.play import away, kill, play, start, stop
from penstock.drill.servers import Address

if TYPE_CHECKING:
    from penstock.drill.definition import Tally
    from penstock.drill.scene import Scene

#: Seconds between deleting a queue and declaring it again. Within some 30 ms RabbitMQ 3.10 tells the consumer nothing.
GONE = 1.0


def stopped(scene: Scene) -> Tally:
    """It is stopped cleanly for 30 s; the publisher goes on into its outbox."""
    server, seconds = scene.server("rabbitmq"), scene.seconds(30)
    return play(scene, lambda: away(seconds, stop, start, server), over=seconds, server="rabbitmq")


def killed(scene: Scene) -> Tally:
    """It is killed under full load."""
    server, seconds = scene.server("rabbitmq"), scene.seconds(5)

    def fault() -> float:
        scene.wait_grown()
        return away(seconds, kill, start, server)

    return play(scene, fault, over=3 * seconds, server="rabbitmq")


def memory_alarm(scene: Scene) -> Tally:
    """It runs short of memory and takes no publishes; what it has it still delivers."""
    server, seconds = scene.server("rabbitmq"), scene.seconds(20)

    def fault() -> float:
        with faults_rabbitmq.memory_alarm(server):
            # What is published meanwhile goes into the outbox: the broker says that it is blocked.
            time.sleep(seconds)
            return time.monotonic()

    return play(scene, fault, over=1.5 * seconds, server="rabbitmq")


def queue_redeclared(scene: Scene) -> Tally:
    """Once they are drained the queues are deleted and declared again; the rest is published afterwards."""
    server, virtual_host = scene.server("rabbitmq"), Address(scene.broker_url).database
    scene.workers(*scene.names)
    scene.publishing.start(range(scene.messages // 2))
    scene.publishing.wait()
    scene.wait_drained()
    with ExitStack() as gone:
        for name in scene.names:
            gone.enter_context(faults_rabbitmq.queue_gone(server, virtual_host, name))
        time.sleep(GONE)
        since = time.monotonic()
    scene.publishing.start(range(scene.messages // 2, scene.messages))
    scene.publishing.wait()
    scene.settle()
    return scene.tally(since=since, server="rabbitmq")


DRILLS = (
    Drill("broker-stopped", "RabbitMQ is stopped for 30 s", stopped),
    Drill("broker-killed", "RabbitMQ is killed -9", killed),
    Drill("broker-memory-alarm", "RabbitMQ has a memory alarm for 20 s and blocks publishing", memory_alarm),
    Drill("broker-queue-redeclared", "the drained queues are deleted and declared again", queue_redeclared),
)
