"""The accounting of the drills: what is lost, twice or out of order in a sink must show, and nothing else may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from penstock.drill.accounting import of_graph, of_ledger, of_table
from penstock.drill.tallying import tally_of
from penstock.drill.workload import KEYS, message_id, newest, version_of

if TYPE_CHECKING:
    from penstock.drill.definition import Tally

#: Three versions of each key.
SAFE = range(3 * KEYS)


def ledger() -> list[list[Any]]:
    return [[message_id(number), number % KEYS, version_of(number)] for number in SAFE]


def table() -> list[list[Any]]:
    return [[key, 3, message_id(2 * KEYS + key)] for key in range(KEYS)]


def graph_keys() -> list[list[Any]]:
    return [[str(key), version, [id_]] for key, version, id_ in table()]


def graph_messages() -> list[list[Any]]:
    return [[message_id(number)] for number in SAFE]


def count(**sinks: list[list[Any]]) -> Tally:
    """The tally of what the sinks hold; what is not given is as it should be."""
    found = {
        "ledger": of_ledger(sinks.get("ledger", ledger())),
        "table": of_table(sinks.get("table", table()), SAFE),
        "graph": of_graph(sinks.get("keys", graph_keys()), sinks.get("messages", graph_messages()), SAFE),
    }
    return tally_of(found, SAFE)


def test_all_is_well() -> None:
    tally = count()
    assert tally.good
    assert (tally.ids_in, tally.ids_out, tally.lost, tally.duplicated) == (600, 600, 0, 0)
    assert tally.more == {"newest": True, "in_order": True, "overtaken": 0}


def test_a_message_overtaken_by_that_of_another_key_is_told() -> None:
    rows = ledger()
    rows[5], rows[6] = rows[6], rows[5]
    tally = count(ledger=rows)
    assert (tally.good, tally.more["in_order"], tally.more["overtaken"]) == (True, True, 1)


@pytest.mark.parametrize("sink", ["ledger", "messages"])
def test_a_message_that_is_not_there_is_lost(sink: str) -> None:
    rows = {"ledger": ledger(), "messages": graph_messages()}[sink]
    del rows[5]
    tally = count(**{sink: rows})
    assert (tally.ids_in, tally.ids_out, tally.lost, tally.duplicated) == (600, 599, 1, 0)
    assert not tally.good


@pytest.mark.parametrize("sink", ["ledger", "messages"])
def test_a_message_that_is_there_twice_is_duplicated(sink: str) -> None:
    rows = {"ledger": ledger(), "messages": graph_messages()}[sink]
    tally = count(**{sink: [*rows, rows[-1]]})
    assert (tally.lost, tally.duplicated, tally.more["in_order"]) == (0, 1, True)
    assert not tally.good


def test_versions_out_of_order_show() -> None:
    rows = ledger()
    rows[0], rows[KEYS] = rows[KEYS], rows[0]
    tally = count(ledger=rows)
    assert (tally.lost, tally.duplicated, tally.more["in_order"]) == (0, 0, False)
    assert not tally.good
    assert tally.failures == ["versions of a key were written out of order"]


@pytest.mark.parametrize("sink", ["table", "keys"])
def test_a_key_that_stands_at_an_older_version_is_lost(sink: str) -> None:
    rows = {"table": table(), "keys": graph_keys()}[sink]
    older = message_id(KEYS + 7)
    rows[7] = [rows[7][0], 2, older if sink == "table" else [older]]
    tally = count(**{sink: rows})
    assert (tally.lost, tally.duplicated, tally.more["newest"]) == (1, 0, False)
    assert not tally.good


@pytest.mark.parametrize("sink", ["table", "keys"])
def test_a_key_that_is_missing_is_lost_and_one_too_many_is_duplicated(sink: str) -> None:
    rows = {"table": table(), "keys": graph_keys()}[sink]
    assert count(**{sink: rows[1:]}).lost == 1
    tally = count(**{sink: [*rows, rows[0]]})
    assert (tally.lost, tally.duplicated) == (0, 1)


def test_a_row_that_is_not_what_its_version_says_shows() -> None:
    rows = table()
    rows[3][2] = message_id(4)
    assert count(table=rows).duplicated == 1
    keys = graph_keys()
    keys[3][2].append(message_id(4))
    assert count(keys=keys).duplicated == 1


def test_what_was_not_told_to_be_safe_may_be_there_or_not() -> None:
    unsafe = 3 * KEYS
    tally = count(
        ledger=[*ledger(), [message_id(unsafe), 0, 4]],
        table=[[0, 4, message_id(unsafe)], *table()[1:]],
        messages=[*graph_messages(), [message_id(unsafe)]],
    )
    assert tally.good
    assert (tally.ids_in, tally.ids_out) == (600, 600)


def test_without_order_the_overtaken_need_not_be_in_the_graph() -> None:
    rows = ledger()
    rows[0], rows[KEYS] = rows[KEYS], rows[0]
    found = {"ledger": of_ledger(rows), "graph": of_graph(graph_keys(), graph_messages()[1:], SAFE)}
    tally = tally_of(found, SAFE, ordered=False)
    assert tally.good
    assert (tally.ids_out, tally.more["in_order"]) == (600, None)
    assert tally_of({"ledger": of_ledger(rows[1:])}, SAFE, ordered=False).lost == 1


def test_the_workload_is_keys_in_versions() -> None:
    assert newest(range(2 * KEYS + 1)) == {0: 3, **dict.fromkeys(range(1, KEYS), 2)}
    assert version_of(100 * KEYS - 1) == 100
