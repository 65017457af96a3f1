"""What the drills found: a line a drill for people, and one line of JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from penstock.drill.definition import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a drill has found, or why it came to no end.
Result = Tally | str


def good(results: Mapping[str, Result]) -> bool:
    """Whether all drills came to an end and nothing was lost, twice, dead-lettered or wrong."""
    return all(isinstance(result, Tally) and result.good for result in results.values())


def line(name: str, result: Result) -> str:
    """One drill for people, in one line."""
    if isinstance(result, str):
        return f"{name}: FAILED: {result}"
    told = [
        f"{result.ids_in} in, {result.ids_out} out, {result.lost} lost, {result.duplicated} duplicated",
        f"{result.dead_lettered} dead-lettered, {result.attempts_burned} attempts burned",
    ]
    if result.recovery_s is not None:
        told.append(f"first write {result.recovery_s:g} s after the return")
    told += [f"{key.removesuffix('_s')} {value:g}" for key, value in result.more.items() if isinstance(value, float)]
    told += [f"MISSED: {limit}" for limit in result.missed]
    told += [f"WRONG: {failure}" for failure in result.failures]
    return f"{name}: {'good' if result.good else 'FAILED'}: {'; '.join(told)}"


def json_line(results: Mapping[str, Result]) -> str:
    """All drills as JSON in one line: {"drills": {name: {"in": n, "out": n, "lost": n, …}}}."""
    return json.dumps({"drills": {name: _as_json(result) for name, result in results.items()}})


def _as_json(result: Result) -> dict[str, object]:
    if isinstance(result, str):
        return {"error": result}
    found: dict[str, object] = {
        "in": result.ids_in,
        "out": result.ids_out,
        "lost": result.lost,
        "duplicated": result.duplicated,
        "dead_lettered": result.dead_lettered,
        "attempts_burned": result.attempts_burned,
        "recovery_s": result.recovery_s,
        **result.more,
    }
    if result.missed:
        found["missed"] = result.missed
    if result.failures:
        found["error"] = "; ".join(result.failures)
    return found
