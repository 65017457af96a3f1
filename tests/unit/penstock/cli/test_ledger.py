"""`penstock ledger`: what it says of workers without a ledger and of sinks that are away, without any server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

#: Nobody listens there.
AWAY = "postgresql://nobody@127.0.0.1:1/nowhere"


@pytest.mark.parametrize("words", [("prune",), ("prune", "--dry-run"), ("status",)])
def test_a_worker_without_a_ledger_is_passed_over(
    call: Callable[..., Any], orders: str, words: tuple[str, ...]
) -> None:
    answer = call("ledger", *words, orders, "discogs-table", orders)
    assert (answer.code, answer.err) == (0, "")
    if words[0] == "status":
        expected = "worker\tendpoint\tkeys\toldest\tnewest\n"
        expected += "".join(f"{name}\tno ledger\t-\t-\t-\n" for name in (orders, "discogs-table"))
    else:
        lines = (f"{name}: it keeps no ledger (mode upsert), nothing to prune\n" for name in (orders, "discogs-table"))
        expected = "".join(lines)
    assert answer.out == expected
    answer = call("ledger", *words, orders, "--json")
    assert json.loads(answer.out) == [{"worker": orders, "keeps_ledger": False, "endpoints": []}]


@pytest.mark.parametrize("command", ["prune", "status"])
def test_a_sink_that_is_away_fails_in_one_line_and_the_others_are_done(call: Callable[..., Any], command: str) -> None:
    answer = call("ledger", command, "drill-ledger", "discogs-table", POSTGRES_URL=AWAY)
    assert answer.code == 1
    [line] = answer.err.splitlines()
    assert line.startswith("penstock: 127.0.0.1:1/nowhere: PostgreSQL cannot be reached")
    assert "discogs-table" in answer.out
    assert "drill-ledger" not in answer.out


def test_a_worker_that_is_not_there_and_none_at_all(call: Callable[..., Any]) -> None:
    answer = call("ledger", "prune", "discogs-table", "nobody")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no worker nobody" in answer.err
    assert call("ledger", "prune").code == 2
