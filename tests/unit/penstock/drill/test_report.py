"""What is printed of the drills: a line each for people, one line of JSON for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.drill.definition import FULL, QUICK, Drill, Tally
from penstock.drill.grounds import Grounds
from penstock.drill.report import good, json_line, line
from penstock.drill.runner import run, run_one


def tally(**counts: Any) -> Tally:
    zeros = dict.fromkeys(("lost", "duplicated", "dead_lettered", "attempts_burned"), 0)
    return Tally(**{"ids_in": 200, "ids_out": 200, **zeros, **counts})


def test_the_line_of_json_has_the_names_that_are_promised() -> None:
    found = tally(recovery_s=1.5, more={"caught_up_s": 2.0})
    assert json.loads(json_line({"sink-stopped": found, "broken": "TimeoutError: not within 3 s"})) == {
        "drills": {
            "sink-stopped": {
                "in": 200,
                "out": 200,
                "lost": 0,
                "duplicated": 0,
                "dead_lettered": 0,
                "attempts_burned": 0,
                "recovery_s": 1.5,
                "caught_up_s": 2.0,
            },
            "broken": {"error": "TimeoutError: not within 3 s"},
        }
    }


@pytest.mark.parametrize(
    ("found", "well"),
    [
        (tally(), True),
        (tally(attempts_burned=3), True),
        (tally(missed=["recovery_s is 3.00, at most 2"]), True),
        (tally(lost=1), False),
        (tally(duplicated=1), False),
        (tally(dead_lettered=1), False),
        (tally(failures=["out of order"]), False),
        ("AssertionError", False),
    ],
)
def test_what_makes_a_drill_fail(found: Tally | str, well: bool) -> None:  # noqa: FBT001 a column of the table above
    assert good({"a": tally(), "b": found}) is well
    assert ("FAILED" in line("b", found)) is not well


def test_limits_that_were_missed_are_told_and_so_is_one_that_was_not_seen() -> None:
    found = tally(recovery_s=3.0)
    found.limit("recovery_s", found.recovery_s, 2)
    found.limit("append_ratio", 2.9, 3)
    found.limit("other_s", None, 3)
    assert found.missed == ["recovery_s is 3.00, at most 2", "other_s is unknown, at most 3"]
    assert "MISSED: recovery_s is 3.00, at most 2" in line("drill", found)


def test_a_failure_is_the_error_of_its_drill() -> None:
    found = json.loads(json_line({"drill": tally(failures=["one thing", "another"])}))
    assert found["drills"]["drill"]["error"] == "one thing; another"


def test_a_drill_that_comes_to_no_end_leaves_the_others_their_turn() -> None:
    def broken(_: object) -> Tally:
        raise TimeoutError("not within 3 s:\nall rows")

    said: list[str] = []
    drills = [Drill("broken", "it breaks", broken), Drill("whole", "it does nothing", lambda _: tally())]
    results = run(drills, FULL, said.append)
    assert results["broken"] == "TimeoutError: not within 3 s: all rows"
    assert results["whole"] == tally()
    assert said[0] == "broken: it breaks"
    assert said[1].startswith("broken: FAILED: TimeoutError")
    assert said[3].startswith("whole: good: 200 in, 200 out, 0 lost, 0 duplicated")


def test_what_a_drill_has_to_say_is_set_off() -> None:
    said: list[str] = []

    def drill(scene: Any) -> Tally:
        scene.say("half of it is done")
        return tally()

    with Grounds() as grounds:
        run_one(Drill("talks", "it talks", drill), grounds, FULL, said.append)
    assert said == ["  talks: half of it is done"]


def test_a_quick_drill_has_shorter_faults_but_some() -> None:
    assert [FULL.seconds(60), QUICK.seconds(60), QUICK.seconds(5), QUICK.seconds(1)] == [60, 6, 2, 1]
