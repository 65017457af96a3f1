"""The settings of a demo: those of its stack, and none of the user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

#: What PostgreSQL's clients read for themselves, past all settings: PGSSLMODE, PGTARGETSESSIONATTRS and the like.
_PAST_SETTINGS = "PG"
#: What points a user's own commands at servers of theirs.
_NOT_OURS = ("PENSTOCK_", "RABBITMQ_", "POSTGRES_", "NEO4J_", "LOG_", _PAST_SETTINGS)

_WORKERS = {
    "PENSTOCK_HTTP__PORT": "0",
    "PENSTOCK_LOG__FORMAT": "json",  # where a worker listens is read from its log
    # In production a breaker gives a server more tries and half a minute before it is probed. Here the outage takes
    # five seconds, and both the pause and the recovery are to be seen.
    "PENSTOCK_BREAKER__FAILURES": "2",
    "PENSTOCK_BREAKER__PROBE_MIN": "0.5",
    "PENSTOCK_BREAKER__PROBE_MAX": "1",
}


def environment_of_workers(
    environ: Mapping[str, str], stack: Mapping[str, str], *, debug: bool = False
) -> dict[str, str]:
    """Return `environ` without what sets anything of Penstock, pointed at the stack, as the demo's workers get it."""
    kept = {name: text for name, text in environ.items() if not name.upper().startswith(_NOT_OURS)}
    return {**kept, **stack, **_WORKERS, "PENSTOCK_LOG__LEVEL": "debug" if debug else "info"}


def forget_past_settings(environ: MutableMapping[str, str]) -> None:
    """Take out of this process's own environment what would reach its PostgreSQL client past all settings."""
    for name in [name for name in environ if name.upper().startswith(_PAST_SETTINGS)]:
        del environ[name]
