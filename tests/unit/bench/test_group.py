from __future__ import annotations

from bench.group import Group
from bench.measured import Ratio, Run


def test_contenders_take_their_turns_and_what_warms_is_not_counted() -> None:
    order: list[str] = []
    told: list[str] = []

    def contender(name: str, seconds: float) -> Run:
        order.append(name)
        return Run(10, 100.0 if len(order) <= 2 else seconds)

    group = Group(
        "both",
        {"a": lambda: contender("a", 1.0), "b": lambda: contender("b", 4.0)},
        rounds=2,
        ratios=[Ratio("a_vs_b", "a", "b"), Ratio("a_vs_nobody", "a", "nobody")],
        prepare=lambda: told.append("prepared"),
        warming=1,
    )
    found = group.run(lambda name, _run: told.append(name))
    assert order == ["a", "b"] * 3
    assert told == ["prepared", "(a)", "(b)", "a", "b", "a", "b"]
    assert [run.seconds for run in found.runs["a"]] == [1.0, 1.0]
    assert found.ratios == {"a_vs_b": 4.0}
