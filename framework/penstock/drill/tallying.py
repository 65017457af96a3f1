"""What was found in the sinks, as one Tally."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.drill.definition import Tally
from penstock.drill.workload import message_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from penstock.drill.accounting import Found

#: These hold every message, at least where none is overtaken; the others hold what each key has come to.
WHOLE = ("ledger", "graph")


def tally_of(found: Mapping[str, Found], safe: Collection[int], *, ordered: bool = True) -> Tally:
    """Count what the sinks hold of the safe messages; what the broker holds is not yet in it.

    A key whose newest version does not stand counts as one message lost in that sink. Without `ordered` a version
    may have been overtaken: then the graph need not have seen it, and the order in the ledger says nothing.
    """
    wanted = {message_id(number) for number in safe}
    whole = [one.ids for name, one in found.items() if name in (WHOLE if ordered else WHOLE[:1])]
    missing = sum(len(wanted - ids) for ids in whole)
    not_newest = {name: one.not_newest for name, one in found.items() if one.not_newest}
    in_order = all(one.in_order is not False for one in found.values()) if ordered else None
    tally = Tally(
        ids_in=len(wanted),
        ids_out=len(wanted.intersection(*whole)),
        lost=missing + sum(map(len, not_newest.values())),
        duplicated=sum(one.duplicated for one in found.values()),
        dead_lettered=0,
        attempts_burned=0,
        more={"newest": not not_newest, "in_order": in_order},
    )
    tally.failures += [f"the {name} lacks the newest version of {len(keys)} keys" for name, keys in not_newest.items()]
    if ordered:
        tally.more["overtaken"] = sum(one.overtaken or 0 for one in found.values())
    if in_order is False:
        tally.failures.append("versions of a key were written out of order")
    return tally
