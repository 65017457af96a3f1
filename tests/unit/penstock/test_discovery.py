"""Discovery: packages made on disk, as pip would leave them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from penstock import discovery
from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    #: The fixture `install`.
    Install = Callable[[str, str, str], None]

WORKER = """
from penstock.worker import Worker
worker = Worker(name="{name}", model=dict, natural_key=id, mapping=id, sink=id, endpoints=id)
"""


def refusal(name: str) -> str:
    with pytest.raises(UsageError) as caught:
        discovery.load_worker(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_worker_of_another_package_is_found_by_name(install: Install) -> None:
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", WORKER.format(name="orders"))
    assert "orders" in discovery.worker_names()
    assert discovery.worker_names() == sorted(discovery.worker_names())
    assert discovery.load_worker("orders").queue == "orders"
    assert discovery.worker_package("orders") == "acme 1.0"


def test_a_worker_of_the_drills_is_found_by_name_and_named_nowhere(install: Install) -> None:
    install("acme", "[penstock.drills]\npractice = acme_module:worker\n", WORKER.format(name="practice"))
    assert discovery.load_worker("practice").queue == "practice"
    assert "practice" not in discovery.worker_names()
    assert "practice" not in refusal("pracice")


def test_a_worker_goes_before_one_of_the_drills(install: Install) -> None:
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", WORKER.format(name="orders"))
    install("beta", "[penstock.drills]\norders = beta_module:worker\n", "worker = 5")
    assert discovery.load_worker("orders").queue == "orders"


def test_an_unknown_name_is_answered_with_what_there_is_nearest_first(install: Install) -> None:
    install("acme", "[penstock.workers]\naaa = acme_module:worker\norders = acme_module:worker\n", "")
    text = refusal("ordres")
    assert text.startswith("there is no worker ordres; there are: orders, ")
    assert "aaa" in text


def test_two_packages_with_one_name_are_both_named(install: Install) -> None:
    for package in ("beta", "acme"):
        install(package, f"[penstock.workers]\norders = {package}_module:worker\n", WORKER.format(name="orders"))
    assert discovery.worker_names().count("orders") == 1
    assert refusal("orders") == "the worker orders is offered by acme and beta: uninstall one of them"


def test_what_is_no_worker_is_refused(install: Install) -> None:
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", "worker = 5")
    assert refusal("orders") == "the worker orders of acme is no penstock.worker.Worker but a int"


def test_a_worker_of_another_name_is_refused(install: Install) -> None:
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", WORKER.format(name="bills"))
    assert refusal("orders") == "the worker orders of acme calls itself bills: both names must be the same"


def test_a_missing_attribute_is_told(install: Install) -> None:
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", "")
    assert "the worker orders of acme cannot be imported: " in refusal("orders")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("def (", "SyntaxError: "),
        ("from penstock.worker import Worker\nworker = Worker('orders')", "TypeError: "),
        ("raise SystemExit('no licence')", "SystemExit: no licence"),
        ("raise ValueError('one\\ntwo')", "ValueError: one two"),
    ],
)
def test_a_module_that_fails_is_named_with_its_reason(install: Install, module: str, reason: str) -> None:
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", module)
    assert refusal("orders").startswith(f"the worker orders of acme cannot be imported: {reason}")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ("bindings=Binding('shop')", "its bindings must be a tuple of Binding, as in (Binding('shop', 'order'),)"),
        ("bindings=('shop',)", "its bindings must be a tuple of Binding, as in (Binding('shop', 'order'),)"),
        ("key_fields='number'", "its key_fields must be a tuple of names, as in ('number',)"),
        ("mode='insert'", "its mode must be one of upsert, update, append"),
        ("version=3, port='8001'", "its port must be a whole number; its version must be a function"),
    ],
)
def test_a_declaration_that_cannot_work_is_told(install: Install, arguments: str, fault: str) -> None:
    module = WORKER.format(name="orders").replace("import Worker", "import Binding, Worker")
    install(
        "acme",
        "[penstock.workers]\norders = acme_module:worker\n",
        module.replace("endpoints=id", f"endpoints=id, {arguments}"),
    )
    assert refusal("orders") == f"the worker orders of acme cannot be used: {fault}"


@pytest.mark.parametrize(
    ("module", "remedy"),
    [
        ("no_such_thing.inside", ": pip install 'acme[special]'"),
        ("no_such_thing_at_all", ""),
    ],
)
def test_a_missing_extra_is_named_with_the_command(install: Install, module: str, remedy: str) -> None:
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", f"import {module}\n")
    missing = module.partition(".")[0]
    assert refusal("orders") == f"the worker orders of acme needs {missing}, which is not installed{remedy}"


@pytest.mark.parametrize(("module", "extra"), [("asyncpg", "table"), ("neo4j", "graph"), ("lxml", "discogs")])
def test_penstocks_own_extras_are_known(
    install: Install, monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", f"import {module}\n")
    assert f"needs {module}, which is not installed: pip install 'penstock[{extra}]'" in refusal("orders")


def test_a_reader_is_found_and_looked_at(install: Install) -> None:
    install(
        "acme",
        "[penstock.readers]\ncsv = acme_module:reader\nbad = acme_module\n",
        "from penstock.jsonl import JsonLines\nreader = JsonLines('things', 'thing')\n",
    )
    assert {"csv", "bad"} <= set(discovery.reader_names())
    assert discovery.load_reader("csv").exchange == "things"
    with pytest.raises(UsageError, match=r"the reader bad of acme is no penstock\.reader\.Reader: it has no exchange"):
        discovery.load_reader("bad")
    with pytest.raises(UsageError, match="there is no reader cvs; there are: csv"):
        discovery.load_reader("cvs")


def test_a_demo_is_found_and_looked_at(install: Install) -> None:
    install("acme", "[penstock.demos]\nshop = acme_module:demo\n", "demo = 5\n")
    assert {"discogs", "shop"} <= set(discovery.demo_names())
    with pytest.raises(UsageError, match=r"the demo shop of acme is no penstock\.demo\.declaration\.Demo but a int"):
        discovery.load_demo("shop")
    with pytest.raises(UsageError, match="there is no demo shpo; there are: shop"):
        discovery.load_demo("shpo")


def test_what_the_demo_of_discogs_names_is_there() -> None:
    demo = discovery.load_demo("discogs")
    exchange = discovery.load_reader(demo.reader).exchange
    for name in (demo.table_worker, demo.graph_worker):
        assert {binding.exchange for binding in discovery.load_worker(name).bindings} == {exchange}
    assert len(discovery.load_reader(demo.reader).files(demo.sample)) == 4
