"""Mode `replica`: which server of a replicated database may be written, and what speaks against such a set of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_never

import structlog

from penstock.errors import NotEligible, SettingsError, SinkUnavailable
from penstock.sink import Replicated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.sink import ReplicaState, Sink

    Role = Literal["primary", "standby", "old_primary"]

log = structlog.get_logger(__name__)


class Replicas:
    """Remembers what each endpoint said last, and the highest timeline that any of them has told of."""

    def __init__(self) -> None:
        #: Never goes down: whoever is below it was replaced.
        self.highest = 0
        self._states: dict[str, ReplicaState] = {}
        #: Names and timelines of primaries of the past that were warned of.
        self._told: set[tuple[str, int]] = set()

    async def admit(self, name: str, sink: Sink) -> None:
        """Ask the server of an open sink what it is. Raises NotEligible unless it is the primary, SinkUnavailable."""
        self._states.pop(name, None)
        if not isinstance(sink, Replicated):
            raise SinkUnavailable(f"{name}: its sink does not tell which of its servers is the primary")
        self.heard(name, await sink.replica_state())
        self.check(name)

    def heard(self, name: str, state: ReplicaState) -> None:
        """A server has said what it is."""
        self._states[name] = state
        self.highest = max(self.highest, state.timeline)

    def check(self, name: str) -> None:
        """Raise NotEligible where an endpoint, by what all have said so far, is not the primary. Asks nobody."""
        match self.role(name):
            case "primary" | None:
                return
            case "standby":
                raise NotEligible(f"{name} is a standby: it is written once it has been promoted")
            case "old_primary":
                timeline = self._states[name].timeline
                text = f"{name} is on timeline {timeline} and another was promoted since, to {self.highest}"
                if (name, timeline) not in self._told:
                    self._told.add((name, timeline))
                    advice = "stop it, and make a standby of it"
                    log.warning(
                        "old_primary_ignored", endpoint=name, timeline=timeline, highest=self.highest, advice=advice
                    )
                raise NotEligible(f"{text}: it is never written again")
            case _ as role:
                assert_never(role)

    def role(self, name: str) -> Role | None:
        """What an endpoint is, by what all have said so far; None while it has not answered."""
        state = self._states.get(name)
        if state is None:
            return None
        if not state.writable:
            return "standby"
        return "primary" if state.timeline >= self.highest else "old_primary"

    def refuse_unsafe(self) -> None:
        """Raise SettingsError where a promotion would lose commits; warn where two would take writes."""
        if problem := problem_of(self._states):
            raise SettingsError(problem)
        primaries = [name for name in self._states if self.role(name) == "primary"]
        if len(primaries) > 1:
            advice = "if they are databases of their own, set failover.mode to independent"
            log.warning("several_primaries", endpoints=primaries, timeline=self.highest, advice=advice)


def problem_of(states: Mapping[str, ReplicaState]) -> str | None:
    """Why a primary and its standbys, by name, cannot be used in mode `replica`; None where they can."""
    highest = max((state.timeline for state in states.values()), default=0)
    standbys = [name for name, state in states.items() if not state.writable]
    for name, state in states.items():
        if standbys and state.writable and not state.synchronous and state.timeline == highest:
            return (
                f"failover.mode is replica, and a commit at {name} does not wait for the standby {standbys[0]}: its "
                f"promotion could lose what was acknowledged. On {name} set synchronous_standby_names to name the "
                "standby (ALTER SYSTEM SET synchronous_standby_names = '*') and leave synchronous_commit on"
            )
    return None


def described(state: ReplicaState) -> str:
    """What a server said of itself, in a few words."""
    if not state.writable:
        return f"standby, timeline {state.timeline}"
    return f"primary, timeline {state.timeline}, commits {'wait' if state.synchronous else 'do not wait'} for a standby"
