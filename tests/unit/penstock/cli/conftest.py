"""The command line called in this process, and a worker of an outside package to call it with."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import structlog

from penstock.cli import main
from support.shop import ORDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PASSWORD = "c0rrect-h0rse"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Answer]]:
    """Call `penstock` with arguments, and an environment that holds nothing of ours but what is given."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for name in os.environ:
        if name.startswith(("PENSTOCK_", "RABBITMQ_", "POSTGRES_", "NEO4J_", "LOG_")):
            monkeypatch.delenv(name)

    def run(*arguments: str, **environ: str) -> Answer:
        for name, text in environ.items():
            monkeypatch.setenv(name, text)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capfd.readouterr()
        assert PASSWORD not in out + err
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, out, err)

    yield run
    root.handlers = handlers
    root.setLevel(level)
    for name in ("aio_pika", "aiormq", "aiormq.connection"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def orders(install: Callable[[str, str, str], None]) -> str:
    """Install the worker `orders` of the package acme; its sink never opens, and shows its password."""
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", ORDERS)
    return "orders"


@pytest.fixture
def password() -> str:
    """A password that `call` finds in any output."""
    return PASSWORD
