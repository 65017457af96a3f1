"""A command that a test or a drill has started."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from penstock.drill.servers.daemon import lives
from penstock.drill.servers.wait import wait_until

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


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="elsewhere no system tells a process that its parent died"
)
def test_it_dies_with_the_process_that_has_started_it(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # who is killed leaves its file
    told = subprocess.run(
        [sys.executable, "-c", STARTS_AND_DIES], capture_output=True, text=True, check=False, env=environment
    )
    wait_until(lambda: not lives(int(told.stdout)), 20, "the end of the command")
