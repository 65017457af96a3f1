"""How root runs PostgreSQL, which refuses root: as nobody, who may enter the folders of root all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path

#: What Linux shows for everybody without a name of their own, in containers as well.
NOBODY = 65_534
#: Seconds a trial may take.
_TRIAL_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Way:
    """`words` go before a program's own and are replaced by it; `owner` (user id) is whose its files have to be."""

    words: tuple[str, ...]
    owner: int

    def give(self, path: Path) -> None:
        """Make a file, or a folder with all in it, the owner's."""
        if path.stat().st_uid == self.owner:
            return
        # The top comes last: whoever finds it done finds all of it done.
        for each in (*path.rglob("*"), path):
            os.chown(each, self.owner, self.owner, follow_symlinks=False)


#: In a user namespace where root is called nobody; outside of it the files stay root's.
NAMESPACE = Way(("unshare", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"), 0)
#: Truly nobody, with one right of root's: to enter folders. For containers, most of which forbid user namespaces.
CAPABILITY = Way(
    (
        "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--inh-caps=-all,+dac_override",
        "--ambient-caps=-all,+dac_override",
        "--bounding-set=-all,+dac_override",
        "--",
    ),
    NOBODY,
)


def way_to_run(program: Path) -> Way:
    """Return the first way in which this user can run a program that refuses root. Raises StackError."""
    if os.geteuid() != 0:
        return Way((), os.geteuid())
    for way in (NAMESPACE, CAPABILITY):
        if (found := _found(way)) is not None and _works(found, program):
            return found
    raise StackError(
        "PostgreSQL refuses to run as root, and neither unshare nor setpriv (util-linux) can make root nobody here: "
        "run it as another user"
    )


def _found(way: Way) -> Way | None:
    path = shutil.which(way.words[0])
    return None if path is None else Way((path, *way.words[1:]), way.owner)


def _works(way: Way, program: Path) -> bool:
    """Whether nobody gets as far as the program itself; its folder may be closed to them."""
    trial = subprocess.run(
        [*way.words, program, "--version"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_TRIAL_SECONDS,
        check=False,
    )
    return trial.returncode == 0
