"""Whether a message costs more the more there are: ten times as many, PostgreSQL's own change taken out."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from bench.group import Found, Group
from bench.scale import USUAL_BYTES
from bench.tables import Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.group import Say
    from bench.measured import Run
    from bench.scale import Scale
    from bench.servers import Servers

TIMES = 10


class Growth:
    """The worker and PostgreSQL alone, each with few rows and with ten times as many."""

    name = "growth"

    def __init__(self, servers: Servers, scale: Scale, environment: dict[str, str]) -> None:
        self._few = Rows(servers, scale, environment, size=USUAL_BYTES, kind="quorum")
        many = replace(scale, rows=scale.rows * TIMES)
        self._many = Rows(servers, many, environment, size=USUAL_BYTES, kind="quorum")
        self._rounds = scale.other_rounds

    def run(self, say: Say) -> Found:
        """`growth`: the worker's rate with many over that with few, over the same of PostgreSQL alone."""
        contenders: dict[str, Callable[[], Run]] = {
            "postgres_few": self._few.postgres_alone,
            "growth_few": self._few.table,
            "postgres_many": self._many.postgres_alone,
            "growth_many": self._many.table,
        }
        found = Group(self.name, contenders, self._rounds, (), self._few.prepare).run(say)
        rounds = zip(*(found.runs[name] for name in contenders), strict=True)
        changes = [
            (many.rate / few.rate) / (alone_many.rate / alone_few.rate) for alone_few, few, alone_many, many in rounds
        ]
        memory = [(run.rss_mb or 0.0) for run in found.runs["growth_many"]]
        return Found(found.runs, {"growth": median(changes)}, {"growth_rss_mb": max(memory)})


def growth(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Growth]:
    """Ten times as many rows."""
    return [Growth(servers, scale, environment)]
