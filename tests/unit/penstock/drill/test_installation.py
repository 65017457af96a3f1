"""A command that a test or a drill has started."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from penstock.drill.installation import Process
from penstock.drill.servers.daemon import lives
from penstock.drill.servers.wait import wait_until
from penstock.embedded.ports import free_ports

if TYPE_CHECKING:
    from pathlib import Path

STARTS_AND_DIES = """
import os, signal, sys
from penstock.drill.installation import Process
from penstock.drill.servers.wait import wait_until
started = Process([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"], os.environ)
wait_until(lambda: started.output() == "up\\n", 30, "the command is up")
print(started.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
#: $PORT answers nobody once this has ended.
SAYS_WHY = """
import os
print('{"event": "worker_started", "port": ' + os.environ["PORT"] + '}\\npenstock: there is no folder', flush=True)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="elsewhere no system tells a process that its parent died"
)
def test_it_dies_with_the_process_that_has_started_it(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # who is killed leaves its file
    told = subprocess.run(
        [sys.executable, "-c", STARTS_AND_DIES], capture_output=True, text=True, check=False, env=environment
    )
    wait_until(lambda: not lives(int(told.stdout)), 20, "the end of the command")


def test_who_asks_one_that_has_ended_is_told_what_it_said() -> None:
    [free_port] = free_ports(1)
    with Process([sys.executable, "-c", SAYS_WHY], {**os.environ, "PORT": str(free_port)}) as process:
        assert process.wait() == 0
        with pytest.raises(httpx.ConnectError) as caught:
            process.wait_ready()
    assert caught.value.__notes__ == [
        f'{{"event": "worker_started", "port": {free_port}}}\npenstock: there is no folder\n'
    ]
