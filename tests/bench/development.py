"""The development broker in RabbitMQ's place: the runtime with a sink that does nothing, and raw aio-pika."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import filling
from bench.group import Group
from bench.processes import run_peer, run_worker
from bench.rows import bodies
from bench.scale import USUAL_BYTES
from bench.workers import ROWS, SINK
from penstock.drill.installation import Installation

if TYPE_CHECKING:
    from bench.measured import Run
    from bench.scale import Scale
    from bench.servers import Servers


def development(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Group]:
    """How fast it delivers."""

    def told() -> dict[str, str]:
        return {**environment, "RABBITMQ_URL": servers.development_url, SINK: "nothing"}

    def fill() -> int:
        return filling.fill(servers.development_url, ROWS, bodies(scale.rows, USUAL_BYTES))

    def prepare() -> None:
        Installation(told()).drain(ROWS)

    def receive() -> Run:
        return run_worker(ROWS, fill(), told())

    def aio_pika() -> Run:
        return run_peer("aio_pika_consume", ROWS, fill(), told())

    contenders = {"development_aio_pika": aio_pika, "development_receive": receive}
    return [Group("development", contenders, scale.other_rounds, (), prepare)]
