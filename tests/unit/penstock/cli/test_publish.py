"""`penstock publish` with a broker that takes everything, or is not there."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from penstock.broker import TopologyMode
    from penstock.reader import Outgoing
    from penstock.settings import RabbitMQ
    from penstock.topology import Topology

JSONL = ("publish", "jsonl")
SHOP = ("--exchange", "shop", "--routing-key", "order")


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was published, and which queues were made first."""
    seen: dict[str, Any] = {}

    async def publish_all(
        _settings: RabbitMQ,
        topologies: Mapping[Topology, TopologyMode],
        outgoing: Iterable[Outgoing],
        *,
        on_progress: Callable[[int], None],
    ) -> int:
        seen["queues"] = {topology.queue.name: mode for topology, mode in topologies.items()}
        seen["bodies"] = []
        for number, message in enumerate(outgoing):
            on_progress(number)
            seen["bodies"].append(message.body)
        return len(seen["bodies"])

    monkeypatch.setattr("penstock.cli.publish.publish_all", publish_all)
    return seen


def test_a_file_is_published_to_the_workers_that_are_bound(
    call: Callable[..., Any], orders: str, published: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "orders.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"id": 1}\n{"id": 2}\n'))
    answer = call(*JSONL, str(file), *SHOP)
    assert answer.code == 0
    assert answer.out.startswith("published 2 messages to shop in ")
    assert answer.out.endswith(" s: order 2\n")
    assert published == {"queues": {orders: "declare"}, "bodies": [b'{"id": 1}', b'{"id": 2}']}


def test_standard_input_is_published(
    call: Callable[..., Any], published: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "input"
    file.write_bytes(b'{"id": 1}\n')
    with file.open("rb") as stream:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
        assert call(*JSONL, "-", *SHOP).code == 0
    assert published["bodies"] == [b'{"id": 1}']


def test_every_reader_is_a_command(
    call: Callable[..., Any], install: Callable[[str, str, str], None], published: dict[str, Any], tmp_path: Path
) -> None:
    module = "from penstock.jsonl import JsonLines\nreader = JsonLines('things', 'thing')\n"
    install("acme", "[penstock.readers]\nthings = acme_module:reader\n", module)
    file = tmp_path / "things"
    file.write_bytes(b"1\n")
    assert "penstock publish things /data/dump" in call("publish", "things", "--help").out
    answer = call("publish", "things", str(file))
    assert answer.out.endswith(": thing 1\n")
    assert published["bodies"] == [b"1"]


def test_workers_that_cannot_be_loaded_are_left_out_with_a_warning(
    call: Callable[..., Any],
    orders: str,
    install: Callable[[str, str, str], None],
    published: dict[str, Any],
    tmp_path: Path,
) -> None:
    install("bad", "[penstock.workers]\nbroken = bad_module:worker\n", "import no_such_thing")
    file = tmp_path / "empty"
    file.touch()
    answer = call(*JSONL, str(file), *SHOP)
    assert "warning: the worker broken of bad needs no_such_thing" in answer.err
    assert list(published["queues"]) == [orders]
    assert answer.out.endswith(": nothing to send\n")


def test_one_message_to_the_default_exchange_is_told_so(
    call: Callable[..., Any], published: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "one"
    file.write_bytes(b"1\n")
    answer = call(*JSONL, str(file), "--exchange", "", "--routing-key", "q")
    assert published["bodies"] == [b"1"]
    assert answer.out.startswith("published 1 message to the default exchange in ")


SAFE = "confirmed before it stopped; publishing all of it again is safe: the workers recognise what they have had\n"


def test_a_file_that_breaks_off_says_how_much_was_confirmed(
    call: Callable[..., Any], published: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "broken"
    file.write_bytes(b"1\n2\n{\n4\n")
    answer = call(*JSONL, str(file), *SHOP)
    assert (answer.code, answer.out, published["bodies"]) == (2, "", [b"1", b"2"])
    how_far, problem = answer.err.splitlines(keepends=True)
    assert how_far == f"penstock: 2 messages {SAFE}"
    assert problem.startswith(f"penstock: {file}, line 3: not JSON")


def test_a_broker_that_goes_away_says_how_much_was_confirmed(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def publish_all(
        _settings: Any, _topologies: Any, outgoing: Iterable[Outgoing], *, on_progress: Callable[[int], None]
    ) -> int:
        for _ in outgoing:
            on_progress(1)
        raise LinkError("the channel was lost")

    monkeypatch.setattr("penstock.cli.publish.publish_all", publish_all)
    file = tmp_path / "file"
    file.write_bytes(b"1\n2\n")
    answer = call(*JSONL, str(file), *SHOP)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"penstock: at least 1 message {SAFE}penstock: the channel was lost\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_reading_and_what_was_sent_is_confirmed(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    async def publish_all(
        _settings: Any, _topologies: Any, outgoing: Iterable[Outgoing], *, on_progress: Callable[[int], None]
    ) -> int:
        count = 0
        for count, _ in enumerate(outgoing, 1):
            if count == 2:
                os.kill(os.getpid(), number)
        on_progress(count)
        return count

    monkeypatch.setattr("penstock.cli.publish.publish_all", publish_all)
    before = signal.getsignal(number)
    file = tmp_path / "file"
    file.write_bytes(b"1\n2\n3\n")
    answer = call(*JSONL, str(file), *SHOP)
    assert (answer.code, answer.out) == (128 + number, "")
    waiting, how_far = answer.err.splitlines(keepends=True)
    assert waiting.startswith("penstock: waiting for what was sent to be confirmed; interrupt again")
    assert how_far == f"penstock: interrupted: 2 messages {SAFE}"
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("sent", [0, 1])
def test_a_signal_that_cannot_wait_ends_it_at_once(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sent: int
) -> None:
    async def publish_all(
        _settings: Any, _topologies: Any, outgoing: Iterable[Outgoing], *, on_progress: Callable[[int], None]
    ) -> int:
        waiting = iter(outgoing)
        for _ in range(sent):
            next(waiting)
            os.kill(os.getpid(), signal.SIGINT)
            on_progress(1)
        # Nothing is on its way yet, or this is the second one.
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr("penstock.cli.publish.publish_all", publish_all)
    file = tmp_path / "file"
    file.write_bytes(b"1\n")
    answer = call(*JSONL, str(file), *SHOP)
    assert (answer.code, answer.out) == (130, "")
    count = "1 message" if sent else "0 messages"
    assert answer.err == f"penstock: interrupted: at least {count} {SAFE}"


#: Publishes standard input, with a broker that takes everything; says so when it waits for more.
PIPED = """
import sys
from penstock.cli import main, publish
async def publish_all(_settings, _topologies, outgoing, *, on_progress):
    for count, _ in enumerate(outgoing, 1):
        print("sent", flush=True)
    return count
publish.publish_all = publish_all
main(["publish", "jsonl", "-", "--exchange", "shop", "--routing-key", "order"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_a_reader_that_waits_for_a_pipe(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PIPED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"1\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"sent\n"
        process.send_signal(number)
        # Its input stays open: what ends it is the signal.
        assert process.wait(20) == 128 + number
        assert process.stderr is not None
        assert f"interrupted: 1 message {SAFE}".encode() in process.stderr.read()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (Path.unlink, "cannot be read: No such file or directory"),
        (lambda path: (path.unlink(), path.mkdir()), "is a folder"),
        (lambda path: path.write_bytes(b"{"), "line 1: not JSON"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    call: Callable[..., Any],
    published: dict[str, Any],
    tmp_path: Path,
    make: Callable[[Path], object],
    problem: str,
) -> None:
    path = tmp_path / "file"
    path.touch()
    make(path)
    answer = call(*JSONL, str(path), *SHOP)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"penstock: {path}")
    assert problem in answer.err
    assert published.get("bodies", []) == []


def test_a_broker_that_is_not_there_is_one_line(
    call: Callable[..., Any], orders: str, password: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    file = tmp_path / "file"
    file.write_bytes(b"1\n")
    answer = call(*JSONL, str(file), *SHOP, RABBITMQ_URL=f"amqp://{orders}:{password}@127.0.0.1:{port}")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith(f"penstock: cannot connect to RabbitMQ at amqp://{orders}@127.0.0.1:{port}")
    assert answer.err.count("\n") == 1
