"""Java archives: from Maven Central, once into a cache folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.drill.servers.debian import cache
from penstock.drill.servers.server import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "5.26.30"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
#: What Neo4j 5.26 runs on, and where Debian, Ubuntu and others put it.
JAVA = ("17", "21")
PLACES = ("java-17-openjdk*", "java-21-openjdk*", "*-17-*", "*-21-*")
TRIES = 3
PROJECT = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>penstock</groupId><artifactId>archives</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>
  </dependencies>
</project>
"""


def find_java() -> str:
    """A Java that Neo4j runs on. Raises Unavailable."""
    installed = [str(path) for name in PLACES for path in sorted(Path("/usr/lib/jvm").glob(f"{name}/bin/java"))]
    home = os.environ.get("JAVA_HOME")
    for java in [*([f"{home}/bin/java"] if home else []), *installed, shutil.which("java")]:
        if java is not None and java_release(java).partition(".")[0] in JAVA:
            return java
    raise Unavailable("Neo4j needs Java 17 or 21: run `make servers`, or apt-get install default-jdk-headless")


def java_release(java: str) -> str:
    """Its whole version, as 17.0.15; empty where it does not run."""
    try:
        told = subprocess.run([java, "-version"], check=True, capture_output=True, text=True).stderr
    except (OSError, subprocess.CalledProcessError):
        return ""
    found = re.search(r'version "([^"]+)', told)
    return found[1] if found else ""


def find_jars() -> Path:
    """The folder of Neo4j's archives, filled on the first call (123 MB, 10 to 30 s). Raises Unavailable."""
    return archives("org.neo4j", "neo4j", VERSION)


def archives(group: str, artifact: str, version: str) -> Path:
    """The folder of an archive and of all that it needs, filled on the first call. Raises Unavailable."""
    wanted = {"group": group, "artifact": artifact, "version": version}
    return made_once(f"{artifact}-{version}", partial(_download, wanted)) / "lib"


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache; where it is missing `make` fills it, while others wait. Raises what that raises."""
    place = cache()
    place.mkdir(parents=True, exist_ok=True)
    folder = place / name
    with (place / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            # Filled beside and renamed, so that half a folder never looks like a whole one.
            with tempfile.TemporaryDirectory(dir=place) as beside:
                part = Path(beside) / "part"
                part.mkdir()
                make(part)
                part.rename(folder)
    return folder


def _download(wanted: dict[str, str], folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable(f"{wanted['artifact']} comes by Maven: run `make servers`, or apt-get install maven")
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        (work / "pom.xml").write_text(PROJECT.format_map(wanted))
        command = [maven, "-B", "-q", "-C", "-f", work / "pom.xml", f"-Dmaven.repo.local={work / 'repository'}"]
        options = [PLUGIN, "-DincludeScope=runtime", f"-DoutputDirectory={folder / 'lib'}"]
        for _ in range(TRIES):
            done = subprocess.run([*map(str, command), *options], check=False, capture_output=True, text=True)
            if done.returncode == 0:
                return
    raise Unavailable(f"Maven could not fetch {':'.join(wanted.values())}: {done.stdout[-800:]}")
