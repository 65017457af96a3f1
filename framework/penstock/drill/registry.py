"""All drills by name. A new module of drills is named here, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.drill.scenes import (
    brokers,
    delivery_limit,
    failover,
    failover_replica,
    kills,
    network,
    publishers,
    sinks,
    spills,
)
from penstock.errors import UsageError
from penstock.spelling import by_likeness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.drill.definition import Drill

#: In the order in which they run: the longest first, so that no lane is left alone with one at the end.
ALL: tuple[Drill, ...] = (
    *failover.DRILLS,
    *spills.DRILLS,
    *sinks.DRILLS,
    *brokers.DRILLS,
    *network.DRILLS,
    *delivery_limit.DRILLS,
    *kills.DRILLS,
    *failover_replica.DRILLS,
    *publishers.DRILLS,
)


def find(names: Sequence[str]) -> list[Drill]:
    """Return the drills of these names in the order of the names, each once; all of them where none is given.

    Raises UsageError for a name that no drill has.
    """
    known = {drill.name: drill for drill in ALL}
    for name in names:
        if name not in known:
            raise UsageError(f"there is no drill {name}; there are: {', '.join(by_likeness(name, list(known)))}")
    return [known[name] for name in dict.fromkeys(names)] or list(ALL)
