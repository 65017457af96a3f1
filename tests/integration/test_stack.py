"""`penstock stack`: started twice, killed, out of room, its ports taken, its pid files stale."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import psutil
import pytest

from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from penstock.embedded.places import Places
from penstock.embedded.stack import PARTS, Stack
from penstock.errors import StackError
from support import broker, stores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ["broker", "postgres", "graph"]


@dataclass(frozen=True)
class StackCommand:
    """`penstock stack --folder …`, as users run it."""

    folder: Path

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return Installation({}).penstock("stack", "--folder", str(self.folder), *words)

    def done(self, *words: str) -> str:
        """Run a command that must succeed; what it wrote to both outputs."""
        result = self(*words)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    def fails(self, *words: str) -> str:
        """Run a command that must fail; the one line it says why."""
        result = self(*words)
        assert result.returncode == 1, result.stdout + result.stderr
        [line] = result.stderr.splitlines()
        return line

    def status(self) -> dict[str, list[str]]:
        """State, pid, address and note of each server."""
        _, *lines = self("status").stdout.splitlines()
        return {name: rest for name, *rest in (line.split("\t") for line in lines)}

    def pid(self, name: str) -> int:
        return int(self.status()[name][1])

    def environment(self) -> dict[str, str]:
        """What `env` says, read as a shell does."""
        lines = [shlex.split(line) for line in self("env").stdout.splitlines()]
        assert {words[0] for words in lines} == {"export", "unset"}
        return dict(words[1].split("=", 1) for words in lines if words[0] == "export")

    def kill(self, name: str) -> None:
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not psutil.pid_exists(pid), 20, f"the end of {name}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackCommand]:
    """A stack that is up, for the tests of this file."""
    command = StackCommand(tmp_path_factory.mktemp("stack") / "below")
    try:
        command.done("up")
        yield command
    finally:
        command.done("down", "--remove")
        assert not command.folder.exists()


@pytest.fixture
def no_stack(tmp_path: Path) -> StackCommand:
    return StackCommand(tmp_path / "none")


async def test_every_command_can_be_pointed_at_it(stack: StackCommand) -> None:
    assert {name: state for name, (state, *_) in stack.status().items()} == dict.fromkeys(NAMES, "up")
    environment = stack.environment()
    assert environment.keys() == {"RABBITMQ_URL", "POSTGRES_URL", "NEO4J_URL"}
    assert all("@127.0.0.1:" in url for url in environment.values())
    checked = Installation(environment).done("check")
    assert "queue discogs-table" in checked
    assert checked.count("ok") == len(checked.splitlines()) - 1


async def test_started_twice_it_is_up_already(stack: StackCommand) -> None:
    pids = [stack.pid(name) for name in NAMES]
    assert "the stack is up already" in stack.done("up")
    assert [stack.pid(name) for name in NAMES] == pids


@pytest.mark.parametrize("name", NAMES)
async def test_a_killed_server_comes_back_with_its_data(stack: StackCommand, name: str) -> None:
    before = stack.environment()
    await save(before, name)
    stack.kill(name)
    assert stack.status()[name][0] == "down"
    assert "it died" in stack.status()[name][3]
    assert stack("status").returncode == 1
    assert "not all of the stack runs" in stack("env").stderr
    stack.done("up")
    assert stack.environment() == before
    assert stack.status()[name][0] == "up"
    assert await load(before, name) == "kept"


async def save(environment: dict[str, str], name: str) -> None:
    match name:
        case "broker":
            async with broker.channel(environment["RABBITMQ_URL"]) as channel:
                await channel.declare_queue("kept", durable=True)
            await broker.publish(environment["RABBITMQ_URL"], "", [("kept", b"kept")])
        case "postgres":
            await stores.ask(environment["POSTGRES_URL"], "CREATE TABLE kept AS SELECT 'kept' AS text")
        case _:
            stores.query(environment["NEO4J_URL"], "CREATE (:Kept {text: 'kept'}) RETURN 1")


async def load(environment: dict[str, str], name: str) -> str:
    match name:
        case "broker":
            [message] = await broker.take_all(environment["RABBITMQ_URL"], "kept")
            return message.body.decode()
        case "postgres":
            return str((await stores.ask(environment["POSTGRES_URL"], "SELECT text FROM kept"))[0][0])
        case _:
            return str(stores.query(environment["NEO4J_URL"], "MATCH (kept:Kept) RETURN kept.text")[0][0])


async def test_a_taken_port_is_told_and_another_one_used(stack: StackCommand) -> None:
    before = stack.environment()["POSTGRES_URL"]
    stack.kill("postgres")
    port = int(re.findall(r":(\d+)/", before)[0])
    with socket.create_server(("127.0.0.1", port)):
        assert f"port {port} of the postgres is taken by another program" in stack.done("up")
    after = stack.environment()["POSTGRES_URL"]
    assert after != before
    connection = await asyncpg.connect(after)
    await connection.close()


def test_a_stale_pid_file_is_no_server(stack: StackCommand) -> None:
    stack.kill("broker")
    # By now this very process has the pid, say.
    (stack.folder / "broker.pid").write_text(f'{{"pid": {os.getpid()}, "started": "long ago"}}')
    assert stack.status()["broker"][0] == "down"
    stack.done("up")
    assert stack.status()["broker"][0] == "up"


def test_passwords_are_in_no_argument_and_no_log(stack: StackCommand) -> None:
    passwords = [place.password for part in PARTS if (place := Places(stack.folder).place(part))]
    assert len(passwords) == len(NAMES)
    words = [word for process in psutil.process_iter(["cmdline"]) for word in process.info["cmdline"] or ()]
    logs = [log.read_text(errors="replace") for log in stack.folder.glob("*.log*")]
    logs += [log.read_text(errors="replace") for log in stack.folder.rglob("*.log*") if log.is_file()]
    for password in passwords:
        assert not [text for text in (*words, *logs) if password in text]


def test_all_of_it_listens_on_loopback_only(stack: StackCommand) -> None:
    for name in NAMES:
        process = psutil.Process(stack.pid(name))
        found = [one for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]
        assert found, name
        assert {one.laddr.ip.removeprefix("::ffff:") for one in found} == {"127.0.0.1"}, name


def test_a_shell_is_pointed_at_it_whatever_it_was_pointed_at_before(stack: StackCommand) -> None:
    script = f'eval "$({sys.executable} -m penstock stack env)"; {sys.executable} -m penstock check'
    elsewhere = {
        "POSTGRES_URL": "postgresql://elsewhere/a",
        "PENSTOCK_POSTGRES__URL": "postgresql://elsewhere/b",
        "PENSTOCK_RABBITMQ__URL_FILE": "/nowhere",
        "NEO4J_PASSWORD_FILE": "/nowhere",
        "NEO4J_HOST": "elsewhere",
    }
    environment = {**os.environ, **elsewhere, "PENSTOCK_STACK": str(stack.folder)}
    result = subprocess.run(["bash", "-eu", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "elsewhere" not in result.stdout


def test_one_damaged_file_does_not_keep_the_others_up(tmp_path: Path) -> None:
    stack = StackCommand(tmp_path / "stack")
    stack.done("up")
    graph, file = stack.pid("graph"), stack.folder / "graph.pid"
    content = file.read_text()
    file.write_text("")
    told = stack("down").stderr.splitlines()
    assert sorted(told[:2]) == ["penstock: broker ended", "penstock: postgres ended"]
    assert "graph.pid is damaged" in told[2]
    left = processes_of(stack.folder)
    file.write_text(content)
    stack.done("down", "--remove")
    assert left == [graph]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_while_it_starts_it_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "stack"
    with Installation({}).start("stack", "--folder", folder, "up") as command:
        wait_until((folder / "broker.pid").exists, 20, "the broker was started")
        command.signal(number)
        assert command.wait(60) == 128 + number
        assert "interrupted: ending what this command has started" in command.output()
    wait_until(lambda: not processes_of(folder), 10, "nothing runs")
    assert StackCommand(folder)("down", "--remove").returncode == 0
    assert not folder.exists()


def processes_of(folder: Path) -> list[int]:
    """The processes that have a folder among their arguments."""
    found = psutil.process_iter(["cmdline", "status"])
    alive = [process for process in found if process.info["status"] != psutil.STATUS_ZOMBIE]
    return [one.pid for one in alive if any(str(folder) in word for word in one.info["cmdline"] or ())]


@pytest.mark.parametrize("words", [["up"], ["down", "--remove"]])
def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "thesis.txt").write_text("three years")
    line = StackCommand(tmp_path).fails(*words)
    assert line.startswith(f"penstock: {tmp_path} holds other things, and no stack (it has no stack.json)")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


async def test_what_is_not_the_stacks_stays_when_it_is_removed(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack")
    places = {}
    (tmp_path / "stack").mkdir()
    for part in PARTS:
        places[part.name], _ = Places(stack.folder).settle(part)
    (stack.folder / "broker.log").touch()
    (stack.folder / "thesis.txt").write_text("three years")
    stack.remove()
    assert [path.name for path in stack.folder.iterdir()] == ["thesis.txt"]


def test_two_commands_at_a_time(stack: StackCommand) -> None:
    descriptor = os.open(stack.folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for word in ("up", "down"):
            assert "another command is at work on the stack" in stack.fails(word)
    finally:
        os.close(descriptor)


def test_before_its_first_start(no_stack: StackCommand) -> None:
    assert "there is no stack in" in no_stack.fails("env")
    assert {name: state for name, (state, *_) in no_stack.status().items()} == dict.fromkeys(NAMES, "down")
    assert "the stack is down already" in no_stack.done("down", "--remove")
    assert not no_stack.folder.exists()


def test_a_folder_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = StackCommand(tmp_path / "file")("up")
    assert result.returncode == 2
    assert re.fullmatch(r"penstock: .*/file cannot be used \(.*\): choose another with --folder\n", result.stderr)


async def test_no_room_is_told_before_anything_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.embedded.stack.ROOM", 1 << 60)
    with pytest.raises(StackError, match=r"MiB are free where .* is, and the stack needs .*: free some space, or"):
        await Stack(tmp_path / "stack").up(print)
    assert not list((tmp_path / "stack").iterdir())
