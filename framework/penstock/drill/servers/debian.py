"""Programs of another Debian than this machine's: out of a folder that holds all of it, made by .ci/install-servers."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from penstock.drill.servers.server import Unavailable

#: Where a server's own folder is, as its programs see it.
INSIDE = Path("/mnt")
#: Mounts that the process and its children alone see, and that go with them: nothing is left behind by a kill.
#: $1 the folder, $2 the server's own folder, $3 and $4 user and group, then the program. Only its process remains.
ENTER = f"""
set -eu
mount --bind "$2" "$1{INSIDE}"
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
root=$1 user=$3 group=$4
shift 4
exec chroot "$root" setpriv --reuid="$user" --regid="$group" --clear-groups --pdeathsig=KILL -- env -C {INSIDE} "$@"
"""


@dataclass(frozen=True, slots=True)
class DebianFolder:
    """A folder with a Debian in it. To go into it takes root."""

    root: Path

    def owner(self, user: str) -> tuple[int, int]:
        """User and group id that a user has in there, and perhaps not out here. Raises Unavailable."""
        for line in (self.root / "etc" / "passwd").read_text().splitlines():
            name, _, uid, gid, *_ = line.split(":")
            if name == user:
                return int(uid), int(gid)
        raise Unavailable(f"there is no user {user} in {self.root}: remove it and run `make servers`")

    def command(self, home: Path, user: str, program: str) -> list[str]:
        """What runs a program of the folder as that user; `home`, owned by them, is at INSIDE for it."""
        owner = map(str, self.owner(user))
        return ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(self.root), str(home), *owner, program]


def find_debian(variable: str, name: str) -> DebianFolder:
    """The folder that an environment variable names, else `name` in Penstock's cache. Raises Unavailable."""
    root = Path(os.environ.get(variable) or cache() / name)
    if not root.is_dir():
        raise Unavailable(f"there is no {root}: run `make servers` as root, or set {variable}")
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        raise Unavailable(f"programs in {root} run by chroot: be root, and have util-linux installed")
    return DebianFolder(root)


def cache() -> Path:
    """The folder for what is fetched once: PENSTOCK_CACHE, else ~/.cache/penstock."""
    return Path(os.environ.get("PENSTOCK_CACHE") or Path.home() / ".cache" / "penstock")
