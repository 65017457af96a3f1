"""The drill of failover to a synchronous standby of PostgreSQL, which somebody promotes."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from penstock.drill.accounting import query
from penstock.drill.definition import Drill
from penstock.drill.grounds import ROLE, ROLE_PASSWORD, with_login
from penstock.drill.looks import sql
from penstock.drill.scenes.play import finish, load
from penstock.drill.scenes.sinks import soon
from penstock.drill.servers import Address
from penstock.drill.servers.choose import private_standby
from penstock.drill.servers.postgres_standby import forget_standby, promote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.drill.definition import Tally
    from penstock.drill.installation import Process
    from penstock.drill.scene import Scene
    from penstock.drill.servers import Server
    from penstock.drill.servers.native import NativeServer

#: The workers whose sink is PostgreSQL; that of the third is a Neo4j without a backup.
WRITERS = ("drill-ledger", "drill-table")
#: Seconds after the kill in which nobody promotes the standby.
UNDECIDED = 5.0


def replica(scene: Scene) -> Tally:
    """The primary is killed, its standby promoted, and the old primary started again as it was."""
    primary = scene.server("postgres")
    database = Address(scene.postgres_url).database
    with closing(private_standby(primary)) as standby:
        scene.counted_on = standby
        scene.environment |= {
            "POSTGRES_BACKUP_URL": with_login(standby.address.within(database), ROLE, ROLE_PASSWORD),
            "PENSTOCK_FAILOVER__MODE": "replica",
            "PENSTOCK_FAILOVER__PROBE_EVERY": "1",
        }
        try:
            return _promoted(scene, primary, standby, primary.address.within(database))
        finally:
            # The next drill finds a server that waits for nobody.
            primary.start()
            forget_standby(primary)


def _promoted(scene: Scene, primary: Server, standby: NativeServer, old: str) -> Tally:
    writers = scene.workers(*scene.names)[: len(WRITERS)]
    load(scene, scene.seconds(30))
    primary.kill()
    killed = datetime.now(UTC)
    for process in writers:
        process.wait_for("paused")
    time.sleep(scene.seconds(UNDECIDED))
    promote(standby)
    since = time.monotonic()
    for process in writers:
        process.wait_for("failover")
    primary.start()
    before = _number(old, "next_transaction.sql")
    _see_ignored(writers)
    for process in writers:
        assert process.stop() == 0, process.output()[-500:]
    # They have never seen the promotion, and the old primary is the first they are told of.
    _see_ignored(scene.workers(*WRITERS))
    finish(scene)
    tally = scene.tally(since=since, sinks=("postgres",))
    if (after := _number(old, "next_transaction.sql")) != before:
        tally.failures.append(f"the old primary was written: it is at transaction {after}, and was at {before}")
    # A commit that waits for the standby is seen by nobody until nothing is waited for.
    forget_standby(primary)
    if later := _number(old, "count_later_rows.sql", killed):
        tally.failures.append(f"the old primary has {later} rows that were written after its end")
    tally.more["old_primary_rows"] = _number(old, "count_rows.sql")
    return soon(tally)


def _see_ignored(writers: Sequence[Process]) -> None:
    """Wait until each has told that it ignores the old primary; it writes to the promoted one."""
    for process in writers:
        process.wait_for("old_primary_ignored")
        roles = [endpoint["role"] for endpoint in process.get("/health").json()["endpoints"]]
        assert roles == ["primary", "old_primary"], f"the endpoints, the active one first, are {roles}"


def _number(url: str, name: str, *values: object) -> int:
    """The one number that a statement of the drills finds there."""
    return int(asyncio.run(sql(url, query(name), *values))[0][0])


DRILLS = (
    Drill(
        "failover-replica",
        "PostgreSQL is killed -9, its synchronous standby promoted, and the old primary started again",
        replica,
    ),
)
