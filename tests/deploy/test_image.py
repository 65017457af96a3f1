"""The image, without Docker: its own steps, and a worker in what they make, as Docker would run it."""

from __future__ import annotations

import json
import os
import re
import signal
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from penstock.deploy import pod
from penstock.drill.installation import Installation
from penstock.drill.servers import Unavailable
from penstock.drill.servers.container import engine_answers
from penstock.drill.servers.daemon import descendants
from penstock.drill.servers.folder import Folder
from penstock.drill.servers.wait import wait_until
from penstock.settings import Limits
from support import broker, image, stores
from support.checkout import ROOT
from support.container import SECRETS, Setting
from support.dockerfile import Run, Say, read
from support.tools import absent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.container import Container
    from support.image import Image

DOCKERFILE = ROOT / "compose" / "Dockerfile"
NAME = "discogs-table"
RECORDS = 20_000


@pytest.fixture(scope="module")
def built() -> Iterator[Image]:
    """The image of this checkout."""
    folder = Folder("image")
    try:
        yield image.build(DOCKERFILE, ROOT, folder.path)
    except Unavailable as reason:
        if engine_answers():
            pytest.skip(f"{reason}; a Docker engine answers: tests/deploy/test_compose_drill.py runs the image itself")
        absent(reason)
    finally:
        folder.remove()


@pytest.fixture
def setting(built: Image, broker_url: str, postgres_url: str, tmp_path: Path) -> Setting:
    """Containers of the image, with the addresses of this test's own servers as secrets."""
    secrets, volume = tmp_path / "secrets", tmp_path / "volume"
    for folder in (secrets, volume):
        folder.mkdir()
    environment = {"PENSTOCK_SPILL__PATH": advised_spill(), "PENSTOCK_BATCH__COUNT": "50"}
    for variable, url in (("RABBITMQ_URL", broker_url), ("POSTGRES_URL", postgres_url)):
        (secrets / variable).write_text(f"{url}\n")
        environment[f"{variable}_FILE"] = f"{SECRETS}/{variable}"
    return Setting(built, {**environment, "PENSTOCK_QUEUE__PREFETCH": "100"}, secrets, volume)


def test_its_versions_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {package["name"]: package for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    text = DOCKERFILE.read_text()
    assert f'image.version="{project["version"]}"' in text
    assert f'image.licenses="{project["license"]}"' in text
    assert f"uv=={locked['uv']['version']} " in text
    assert f"image: penstock:{project['version']}\n" in (ROOT / "compose" / "compose.yaml").read_text()


def test_kubernetes_is_told_of_its_user_and_builds_upon_its_entrypoint() -> None:
    said = {one.what: one.words for one in read(DOCKERFILE) if isinstance(one, Say)}
    assert said["USER"] == (f"{pod.USER}:{pod.USER}",)
    # Its pods give arguments and no command.
    assert said["ENTRYPOINT"] == ("tini", "--", "penstock")
    base = (ROOT / "k8s" / "base" / f"{NAME}.yaml").read_text()
    [workload] = [one["spec"] for one in yaml.safe_load_all(base) if one["kind"] == "Deployment"]
    [container] = workload["template"]["spec"]["containers"]
    assert (container["args"], "command" in container) == (["run", NAME], False)


def test_an_instruction_that_is_not_run_here_is_an_error(tmp_path: Path) -> None:
    for line in (
        "ADD a b",
        "RUN --mount=type=cache,target=/x true",
        "COPY --chown=1 a b",
        "ENTRYPOINT penstock",
        "COPY a",
    ):
        (tmp_path / "Dockerfile").write_text(f"FROM python:3.13-slim-trixie\n{line}\n")
        with pytest.raises(ValueError, match=re.escape(line.split()[0])):
            read(tmp_path / "Dockerfile")
    (tmp_path / "Dockerfile").write_text("# a\nRUN one \\\n    # between\n    && two\n")
    assert [
        instruction.command.split() for instruction in read(tmp_path / "Dockerfile") if isinstance(instruction, Run)
    ]
    assert read(tmp_path / "Dockerfile") == [Run("one      && two")]


def test_it_holds_penstock_and_no_tools_to_build_it(built: Image) -> None:
    packages = next(built.root.glob("opt/penstock/lib/python3.*/site-packages"))
    assert {"penstock", "penstock_workers", "asyncpg", "neo4j", "lxml"} <= {path.name for path in packages.iterdir()}
    # No tools, no servers of the development stack, no tests, and no source but what is installed.
    for package in ("pip", "uv", "hatchling", "pytest", "testcontainers", "arcadedb_embedded"):
        assert not (packages / package).exists(), package
    assert not list(packages.rglob("tests"))
    assert not (built.root / "source").exists()
    assert (packages / "penstock" / "__pycache__").is_dir()
    # What it can be started with is none of root's.
    assert built.said["USER"] == ("10001:10001",)


async def test_a_worker_drains_on_sigterm_and_loses_nothing(
    setting: Setting, broker_url: str, postgres_url: str, tmp_path: Path
) -> None:
    publish(broker_url, tmp_path)
    with setting.start("run", NAME) as container:
        container.wait_ready()
        wait_until(lambda: container.metric("penstock_received_messages_total") >= 200, 60, "200 received")
        assert container.stop(Limits().drain_seconds) == 0, container.output()
        assert container.last_event("worker_stopped")["dead_lettered"] == 0
    written, left = await stores.rows(postgres_url, "artists"), await broker.depth(broker_url, NAME)
    assert written > 0
    assert left > 0
    assert written + left == RECORDS
    with setting.start("run", NAME, "--drain") as container:
        assert container.wait(120) == 0, container.output()
    assert await stores.rows(postgres_url, "artists") == RECORDS
    assert await broker.depth(broker_url, NAME) == await broker.depth(broker_url, f"{NAME}.dlq") == 0


def test_a_worker_is_confined_and_its_health_is_seen(setting: Setting) -> None:
    with setting.start("run", NAME) as container:
        container.wait_ready()
        confined(container)
        assert container.healthy()
        os.kill(container.worker, signal.SIGSTOP)
        assert not container.healthy()
        os.kill(container.worker, signal.SIGCONT)
        assert container.healthy()
        assert container.execute("touch", "/opt/penstock/new").stderr.endswith("Read-only file system\n")
        assert container.execute("touch", "/var/lib/penstock/new", "/tmp/new").returncode == 0  # noqa: S108 the container's
        assert container.stop(Limits().drain_seconds) == 0, container.output()
    assert (setting.volume / "new").exists()
    assert list(setting.volume.glob(f"{NAME}.*.sqlite"))


def test_sigterm_ends_it_before_the_worker_has_begun(setting: Setting) -> None:
    with setting.start("run", NAME) as container:
        # A shell that still mounts has children as well, and as process 1 it would take no notice of the signal.
        wait_until(lambda: container.about_first("comm") == "tini\n", 10, "tini is process 1")
        # Its child is not yet a Python, or one that still imports.
        wait_until(lambda: len(descendants(container.pid)) == 2, 10, "a child of process 1")
        container.signal(signal.SIGTERM)
        assert container.wait(10) == 128 + signal.SIGTERM
        assert not container.events("worker_started")


def test_it_is_not_healthy_where_nothing_listens(setting: Setting) -> None:
    check = setting.image.said["HEALTHCHECK"]
    idle = replace(setting, image=replace(setting.image, said={**setting.image.said, "ENTRYPOINT": ("tini", "--")}))
    with idle.start(*check) as container:
        assert container.wait(10) == 1
        assert container.output() == "/livez: no process of this container listens\n"


def test_without_words_it_says_what_it_takes(setting: Setting) -> None:
    with setting.start() as container:
        assert container.wait(30) == 0
        assert "penstock run discogs-table" in container.output()


def advised_spill() -> str:
    """Where compose.yaml advises to have the spill: it must be there in a volume that is new."""
    [path] = re.findall(r"# PENSTOCK_SPILL__PATH: (\S+)", (ROOT / "compose" / "compose.yaml").read_text())
    assert isinstance(path, str)
    return path


def publish(broker_url: str, folder: Path) -> None:
    """Records for the worker, in its queue. Their ids begin at 1: 0 names nothing."""
    records = folder / "artists.jsonl"
    artists = ({"type": "artist", "id": str(number), "name": f"artist {number}"} for number in range(1, RECORDS + 1))
    records.write_text("".join(f"{json.dumps(artist)}\n" for artist in artists))
    words = ("publish", "jsonl", records, "--exchange", "discogs", "--routing-key", "artist")
    Installation({"RABBITMQ_URL": broker_url}).done(*words)


def confined(container: Container) -> None:
    """The worker is nobody, may do nothing, and its root file system cannot be written to."""
    status = dict(line.split(":\t", 1) for line in container.about("status").splitlines())
    assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    # tini is process 1 in there, the worker its child.
    first = dict(line.split(":\t", 1) for line in Path(f"/proc/{container.first}/status").read_text().splitlines())
    assert (first["Name"], first["NSpid"].split()[-1]) == ("tini", "1")
    mounts = {fields[4]: fields[5].split(",") for fields in map(str.split, container.about("mountinfo").splitlines())}
    assert "ro" in mounts["/"]
    assert "rw" in mounts["/tmp"]  # noqa: S108 the container's own
    assert "rw" in mounts["/var/lib/penstock"]
