"""A process of an image, as Docker would run it: process 1 of its own, no root, and two folders to write to."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.drill.installation import Process
from penstock.drill.servers.daemon import descendants
from penstock.drill.servers.wait import wait_until
from support.image import PATH, UNSHARE, pairs

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping

    from support.image import Image

#: Where Docker mounts secrets.
SECRETS = "/run/secrets"
#: As `docker run --read-only --cap-drop ALL --security-opt no-new-privileges --network host --tmpfs /tmp`.
#: $1 the root, $2 the folder for the journals and $3 where it is in there, $4 the secrets' folder, $5 user, $6 group,
#: $7 the folder to be in, then the environment and the command.
ENTER = f"""
set -eu
root=$1 user=$5 group=$6 folder=$7
mkdir -p "$root{SECRETS}"
mount --bind "$root" "$root"
mount --bind "$2" "$root$3"
mount --bind -o ro "$4" "$root{SECRETS}"
mount -t tmpfs -o size=64m,nosuid,nodev,noexec tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
shift 7
exec chroot "$root" setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs --bounding-set=-all \
    --inh-caps=-all env -i -C "$folder" "$@"
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """An image, and what its containers get: variables, secrets (files in a folder), and a volume for the journals."""

    image: Image
    environment: Mapping[str, str]
    secrets: Path
    volume: Path

    def start(self, *words: str) -> Container:
        """A container that runs the image's entrypoint with these words, or with those that the image has."""
        user, group = self.image.said["USER"][0].split(":")
        # A new volume gets its owner from the folder in the image.
        os.chown(self.volume, int(user), int(group))
        # Any free port: the test shares the machine's network with others.
        environment = {**self.image.environment, **self.environment, "PENSTOCK_HTTP__PORT": "0"}
        entered = [self.image.root, self.volume, self.image.folder, self.secrets, user, group, self.image.folder]
        command = [*self.image.said["ENTRYPOINT"], *(words or self.image.said["CMD"])]
        return Container(self.image, [*UNSHARE, ENTER, "sh", *map(str, entered), *pairs(environment), *command])


class Container(Process):
    """A running container."""

    def __init__(self, image: Image, command: list[str]) -> None:
        super().__init__(command, {"PATH": PATH})
        self._image = image

    @property
    def first(self) -> int:
        """Process 1 of the container, by the number it has out here."""
        wait_until(lambda: bool(descendants(self.pid)), 10, "process 1")
        return descendants(self.pid)[0]

    def about_first(self, name: str) -> str:
        """A file of /proc about process 1."""
        return Path(f"/proc/{self.first}/{name}").read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to process 1, as `docker stop` does."""
        os.kill(self.first, number)

    def execute(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it as its user, as `docker exec` does."""
        user, group = self._image.said["USER"][0].split(":")
        enter = ["nsenter", f"--target={self.first}", "--mount", "--pid", "--root"]
        become = [
            "setpriv",
            f"--reuid={user}",
            f"--regid={group}",
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
        ]
        return subprocess.run(
            [*enter, *become, "env", "-i", "-C", self._image.folder, *pairs(self._image.environment), *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def healthy(self) -> bool:
        """What HEALTHCHECK's own command says."""
        return self.execute(*self._image.said["HEALTHCHECK"]).returncode == 0

    @property
    def worker(self) -> int:
        """The worker itself, once it runs, by the number it has out here: what process 1 has started."""
        return descendants(self.first)[-1]

    def about(self, name: str) -> str:
        """A file of /proc about the worker itself."""
        return Path(f"/proc/{self.worker}/{name}").read_text()
