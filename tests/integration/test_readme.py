"""What README.md says can be typed as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from integration.discogs_counts import demo_result
from penstock.discovery import load_demo
from penstock.drill.servers import Unavailable
from penstock.drill.servers.wait import wait_until
from penstock.embedded.ports import free_ports
from support import pages, stores
from support.pages import shell
from support.stand_ins import stand_in
from support.tools import absent
from support.validators import kubeconform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[2]
#: What a shell of a user's has and no setting of Penstock.
INHERITED = ("PATH", "LANG", "TMPDIR", "SSL_CERT_FILE", "PIP_CERT", "UV_CACHE_DIR", "PIP_FIND_LINKS")


def blocks(language: str) -> list[str]:
    """The code blocks of README.md in one language, in order."""
    return pages.blocks(ROOT / "README.md", language)


def block(language: str, holding: str) -> str:
    [found] = [one for one in blocks(language) if holding in one]
    return found


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own; the package cache is shared, so that nothing is downloaded twice."""
    cache = os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data"), "UV_CACHE_DIR": cache}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """This project's files, as a clone has them: no environment, no caches."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            target = tmp_path / "penstock" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return tmp_path / "penstock"


def test_the_blocks_are_the_ones_tested_here() -> None:
    languages = re.findall(r"^```(\w+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(languages) == sorted(["console"] * 7 + ["python"] * 2 + ["sh"] * 2 + ["yaml", "text", "toml"])


async def test_the_two_commands_and_the_stack(checkout: Path, environment: Mapping[str, str]) -> None:
    commands = block("console", "make demo").splitlines()
    assert commands == ["make demo", "make test"]
    last = shell(commands[0], checkout, environment).splitlines()[-1]
    told = json.loads(last)
    assert told["published"].keys() == {"artist", "label", "master", "release"}
    assert sum(told["rows"].values()) == sum(told["published"].values())
    # The tests themselves: that this runs says that they can be.
    assert "pytest" in shell(f"make --dry-run {commands[1].removeprefix('make ')}", checkout, environment)
    assert left_in(Path(environment["XDG_DATA_HOME"])) == []

    script = block("console", "penstock stack up")
    shell(script, checkout, environment)
    again = 'penstock stack up && eval "$(penstock stack env)" && env | grep ^POSTGRES_URL='
    url = shell(f". .venv/bin/activate && {again}", checkout, environment).strip().partition("=")[2]
    try:
        assert await stores.discogs_rows(url) == told["rows"]
    finally:
        shell(". .venv/bin/activate && penstock stack down --remove", checkout, environment)


def left_in(folder: Path) -> list[Path]:
    """The files below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_settings_are_valid(tmp_path: Path, environment: Mapping[str, str]) -> None:
    (tmp_path / "secret").write_text("not to be shown")
    exports = re.sub(r"/run/secrets/\w+", str(tmp_path / "secret"), block("sh", "RABBITMQ_HOST"))
    exports += block("sh", "POSTGRES_BACKUP_URL").replace("…", "hidden")
    (tmp_path / "penstock.yaml").write_text(block("yaml", "workers:"))
    # The file's own ${PGPASSWORD} is the user's to set.
    check = f"export PGPASSWORD=any\n{sys.executable} -m penstock --config penstock.yaml validate --show"
    shown = shell(f"{exports}\n{check}", tmp_path, environment)
    for value in ("rabbit.example", "db.example", "db2.example", "graph.example", "replica", "8388608"):
        assert value in shown
    assert "not to be shown" not in shown
    assert "hidden" not in shown


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The package of the README."""
    orders = block("python", "worker = Worker(")
    pyproject = block("toml", "penstock.workers")
    name = re.match(r"# (shop/orders\.py)\n", orders)
    assert name
    assert tomllib.loads(pyproject)["project"]["name"] == "shop"
    folder = tmp_path / "shop-project"
    (folder / "shop").mkdir(parents=True)
    (folder / name[1]).write_text(orders)
    (folder / "pyproject.toml").write_text(pyproject)
    return folder


async def test_the_worker_of_the_readme_writes_orders(
    shop: Path, environment: Mapping[str, str], broker_url: str, postgres_url: str
) -> None:
    make, install, run = block("console", "penstock run shop-orders").splitlines()
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    urls = {"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url}
    shell(f"{make}\n{install.replace('/path/to/this/checkout', str(ROOT))}", shop, {**environment, "PATH": path})
    activate = make.partition("&&")[2]
    [port] = free_ports(1)
    assert "--port 8020" in run
    command = f"{activate}\nexec {run.replace('8020', str(port)).partition('#')[0]}"
    with running(command, shop, {**environment, **urls}):
        wait_until(lambda: ready(port), 60, "the worker is ready")
        for _ in range(2):
            shell(f"{activate}\n{block('console', 'penstock publish jsonl')}", shop, {**environment, **urls})
        wait_until(lambda: written(port) == 2, 60, "both are settled")
        assert "Confirmed(" in published(shop, {**environment, **urls}, activate)
        wait_until(lambda: written(port) == 3, 60, "that of the program is settled")
    assert await stores.ask(postgres_url, "SELECT number, customer FROM orders ORDER BY number") == [
        [1, "Ada"],
        [2, "Bo"],
    ]


def test_while_the_broker_is_away_the_program_of_the_readme_stores_its_order(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    away = {"RABBITMQ_URL": "amqp://127.0.0.1:1", "PENSTOCK_OUTBOX__PATH": str(tmp_path / "outbox")}
    path = f"{Path(sys.executable).parent}:{environment['PATH']}"
    assert "Stored(" in published(tmp_path, {**environment, **away, "PATH": path}, "true")


def published(folder: Path, environment: Mapping[str, str], activate: str) -> str:
    """What the program of the README prints."""
    program = f"import asyncio\n{block('python', 'import Publisher')}\nasyncio.run(publish_order())\n"
    (folder / "publish_order.py").write_text(program)
    return shell(f"{activate}\npython publish_order.py", folder, environment)


async def test_what_pip_installs_writes(
    tmp_path: Path, environment: Mapping[str, str], broker_url: str, postgres_url: str, neo4j_url: str
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    make, install, check, run = block("console", "penstock run discogs-table").splitlines()
    [port] = free_ports(1)
    there = {
        **environment,
        "RABBITMQ_URL": broker_url,
        "POSTGRES_URL": postgres_url,
        "NEO4J_URL": neo4j_url,
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "PENSTOCK_HTTP__PORT": str(port),
    }
    shell(f"{make}\n{install.replace('/path/to/this/checkout', str(ROOT))}\n{check}", empty, there)
    sample = load_demo("discogs").sample
    activate = make.partition("&&")[2]
    shell(f"{activate}\npenstock publish discogs {sample}", empty, there)
    wanted = demo_result(sample)["rows"]
    with running(f"{activate}\nexec {run}", empty, there):
        wait_until(lambda: ready(port) and written(port) == sum(wanted.values()), 60, "all are settled")
    assert await stores.discogs_rows(postgres_url) == wanted


def test_what_docker_brings_up_is_rendered_and_valid(
    checkout: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    there, calls = standing_in("docker", environment, tmp_path)
    shell(block("console", "make up"), checkout, there)
    assert re.search(r"docker compose .*\bup\b", calls.read_text())


def test_what_kubernetes_is_given_is_rendered_and_valid(
    checkout: Path, environment: Mapping[str, str], outside_python: str, tmp_path: Path
) -> None:
    # Where the shop's own package is installed.
    path = f"{Path(outside_python).parent}:{environment['PATH']}"
    there, calls = standing_in("kubectl", {**environment, "PATH": path}, tmp_path)
    shell(block("console", "kubectl apply"), checkout, there)
    assert "kubectl apply -k k8s/development" in calls.read_text()
    result = kubeconform((checkout / "shop-orders.yaml").read_text())
    assert result.returncode == 0, result.stdout + result.stderr


def standing_in(name: str, environment: Mapping[str, str], folder: Path) -> tuple[dict[str, str], Path]:
    """A shell's environment with a stand-in for a command, and the file with its calls."""
    try:
        return stand_in(name, folder / "stand-in", environment), folder / "stand-in" / "calls"
    except Unavailable as reason:
        absent(reason)


@contextmanager
def running(command: str, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a command until the end of the block, then SIGTERM: it must end well."""
    with subprocess.Popen(["bash", "-euc", command], cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield
            process.terminate()
            assert process.wait(40) == 0
        finally:
            process.kill()


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
    except httpx.TransportError:
        return False


def written(port: int) -> float:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return sum(map(float, re.findall(r"^penstock_settled_messages_total\{.*\} (\S+)$", text, re.MULTILINE)))
