"""What is deployed, and where: a worker with the settings its pods will have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from penstock.endpoints import endpoints_of
from penstock.errors import PenstockError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.settings import Settings
    from penstock.sink import Endpoint
    from penstock.worker import Worker

#: The section of the settings that a sink's server is set in, by the scheme of its address without `+s` and the like.
_SYSTEMS = {"postgresql": "postgres", "postgres": "postgres", "bolt": "neo4j", "neo4j": "neo4j"}
#: In a pod a worker needs no port of its own.
_ANY_PORT = 8080
#: Seconds beyond the drain limit until Kubernetes kills: what is in a spill is published back, the process ends.
_AFTER_DRAIN = 10


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where workers are to run. `secret` names the Secret with all passwords, `monitoring` Prometheus's namespace.

    `connections`: how many the sink grants one worker, all its replicas together; None: most of what a server as it
    is delivered allows.
    """

    image: str
    namespace: str = "penstock"
    secret: str = "penstock"  # noqa: S105 the name of a Secret
    monitoring: str = "monitoring"
    connections: int | None = None


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A worker in its place, with the settings of its pods. Properties raise as `endpoints_of` does, and UsageError."""

    worker: Worker
    settings: Settings
    placement: Placement

    @cached_property
    def endpoints(self) -> Sequence[Endpoint]:
        """The servers of its sink."""
        try:
            return endpoints_of(self.worker, self.settings)
        except PenstockError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UsageError(f"worker {self.worker.name}: its endpoints cannot be told: {reason}") from error

    @cached_property
    def systems(self) -> tuple[str, ...]:
        """The sections of the settings that its sink's servers are set in; none for a sink of another kind."""
        schemes = [endpoint.url.partition("://")[0].partition("+")[0] for endpoint in self.endpoints]
        return tuple(dict.fromkeys(_SYSTEMS[scheme] for scheme in schemes if scheme in _SYSTEMS))

    @property
    def port(self) -> int:
        """Where its pods serve HTTP."""
        asked = self.worker.port if self.settings.http.port is None else self.settings.http.port
        return asked or _ANY_PORT

    @property
    def grace_seconds(self) -> int:
        """What a pod gets to end, above the drain limit."""
        return math.ceil(self.settings.limits.drain_seconds) + _AFTER_DRAIN

    @property
    def prefetch(self) -> int:
        """Deliveries one process takes ahead."""
        return max(self.settings.queue.prefetch, 2 * self.settings.batch.count)


def in_cluster(settings: Settings) -> Settings:
    """Settings as pods have them: a server that nobody named is the Service of its own name, for localhost is the pod.

    So is RabbitMQ's user `penstock` then: `guest` may log in from the broker's own host only.
    """
    parts = {}
    for section in ("rabbitmq", "postgres", "neo4j"):
        given = getattr(settings, section)
        if given.url is None and "host" not in given.model_fields_set:
            parts[section] = given.model_copy(update={"host": section})
    rabbitmq = parts.get("rabbitmq", settings.rabbitmq)
    if rabbitmq.url is None and "username" not in rabbitmq.model_fields_set:
        parts["rabbitmq"] = rabbitmq.model_copy(update={"username": "penstock"})
    return settings.model_copy(update=parts)
