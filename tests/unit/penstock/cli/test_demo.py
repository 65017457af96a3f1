"""`penstock demo`, as far as it goes before it starts anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def test_its_extra_is_named_where_it_is_absent(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    for name in [name for name in sys.modules if name.startswith("penstock.embedded.")]:
        monkeypatch.delitem(sys.modules, name)
    answer = call("demo")
    assert answer.code == 2
    told = "the embedded stack needs psutil, which is not installed: pip install 'penstock[embedded]'"
    assert answer.err == f"penstock: {told}\n"


def test_it_takes_no_settings(call: Callable[..., Any], tmp_path: Path) -> None:
    answer = call("--config", str(tmp_path / "penstock.yaml"), "demo")
    assert answer.code == 2
    assert answer.err == "penstock: penstock demo has settings and servers of its own: leave --config out\n"


def test_of_several_demos_one_has_to_be_named(
    call: Callable[..., Any], install: Callable[[str, str, str], None]
) -> None:
    install("acme", "[penstock.demos]\nshop = acme_module:demo\n", "demo = 5\n")
    answer = call("demo")
    assert answer.code == 2
    assert answer.err == "penstock: there are several demos; name one: discogs, shop\n"
    answer = call("demo", "shop")
    assert answer.err == "penstock: the demo shop of acme is no penstock.demo.declaration.Demo but a int\n"


def test_an_input_that_will_not_do_is_told_before_anything_starts(call: Callable[..., Any], tmp_path: Path) -> None:
    data = tmp_path / "data"
    answer = call("demo", "--input", str(tmp_path / "absent"), XDG_DATA_HOME=str(data))
    assert answer.code == 2
    assert (
        answer.err == f"penstock: --input {tmp_path}/absent does not exist: name a folder with the files to publish\n"
    )
    (tmp_path / "empty").mkdir()
    answer = call("demo", "--input", str(tmp_path / "empty"), XDG_DATA_HOME=str(data))
    assert "holds no Discogs dump" in answer.err
    assert not data.exists()
