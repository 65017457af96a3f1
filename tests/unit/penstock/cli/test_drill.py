"""`penstock drill`, as far as it goes without servers."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from penstock.drill import registry
from penstock.drill.definition import Drill, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.drill.scene import Scene


def found(scene: Scene, lost: int) -> Tally:
    scale = {"messages": scene.messages, "fault": scene.seconds(60)}
    return Tally(200, 200 - lost, lost, 0, 0, 0, more=scale)


@pytest.fixture(autouse=True)
def drills(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two drills that start nothing; one of them loses a message."""
    monkeypatch.delenv("QUICK", raising=False)
    # In this process, or they would be others.
    monkeypatch.setenv("LANES", "1")
    made = (Drill("sink-a", "all is well", lambda scene: found(scene, 0)),)
    made += (Drill("sink-b", "one is lost", lambda scene: found(scene, 1)),)
    monkeypatch.setattr(registry, "ALL", made)


def test_all_drills_by_default_and_the_last_line_is_the_result(call: Callable[..., Any]) -> None:
    answer = call("drill")
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[0] == "sink-a: all is well"
    drills = json.loads(lines[-1])["drills"]
    assert [(name, one["lost"]) for name, one in drills.items()] == [("sink-a", 0), ("sink-b", 1)]
    assert {one["messages"] for one in drills.values()} == {20_000}


def test_a_named_drill_alone(call: Callable[..., Any]) -> None:
    answer = call("drill", "sink-a", "sink-a")
    assert answer.code == 0
    assert list(json.loads(answer.out.splitlines()[-1])["drills"]) == ["sink-a"]


@pytest.mark.parametrize(
    "quick", [{"arguments": ["--quick"], "environ": {}}, {"arguments": [], "environ": {"QUICK": "1"}}]
)
def test_quick_by_option_and_by_environment(call: Callable[..., Any], quick: dict[str, Any]) -> None:
    answer = call("drill", "sink-a", *quick["arguments"], **quick["environ"])
    one = json.loads(answer.out.splitlines()[-1])["drills"]["sink-a"]
    assert (one["messages"], one["fault"]) == (2000, 6)


def test_a_quick_run_of_all_says_what_it_leaves_out(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ALL", (replace(registry.ALL[0], quick=False), replace(registry.ALL[0], name="b")))
    answer = call("drill", "--quick")
    assert list(json.loads(answer.out.splitlines()[-1])["drills"]) == ["b"]
    assert answer.err == "left out of a quick run, unless named: sink-a\n"
    named = call("drill", "--quick", "sink-a")
    assert list(json.loads(named.out.splitlines()[-1])["drills"]) == ["sink-a"]
    assert named.err == ""


def test_the_number_of_messages_can_be_said(call: Callable[..., Any]) -> None:
    one = json.loads(call("drill", "sink-a", "--messages", "400").out.splitlines()[-1])["drills"]["sink-a"]
    assert (one["messages"], one["fault"]) == (400, 60)


def test_a_name_that_no_drill_has_names_the_nearest_first_and_runs_nothing(call: Callable[..., Any]) -> None:
    answer = call("drill", "sink-a", "sink-bb")
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err == "penstock: there is no drill sink-bb; there are: sink-b, sink-a\n"


def test_the_list_runs_nothing(call: Callable[..., Any]) -> None:
    answer = call("drill", "--list")
    assert answer.code == 0
    assert answer.out.splitlines()[1:] == ["sink-a\tall is well", "sink-b\tone is lost"]


def test_it_takes_no_settings(call: Callable[..., Any]) -> None:
    answer = call("--config", "penstock.yaml", "drill")
    assert answer.code == 2
    assert answer.err == "penstock: penstock drill has settings and servers of its own: leave --config out\n"


def test_its_extra_is_named_where_it_is_absent(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "testcontainers.core.container", None)
    for name in [name for name in sys.modules if name.startswith("penstock.drill.")]:
        monkeypatch.delitem(sys.modules, name)
    answer = call("drill", "--list")
    assert answer.code == 2
    assert "which is not installed: pip install 'penstock[drill]'" in answer.err
