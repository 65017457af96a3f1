"""The settings of PostgreSQL's TLS: what goes together, and what is said where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.errors import SettingsError
from penstock.settings import load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("tls", ["disable", "prefer", "require", "Require"])
def test_tls_is_set_by_its_conventional_name(tls: str) -> None:
    assert load(None, None, {"POSTGRES_TLS": tls}).postgres.tls == tls.lower()


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        (
            {"POSTGRES_TLS": "true"},
            "POSTGRES_TLS: 'true' is not one of disable, prefer, require, verify-ca",
        ),
        ({"POSTGRES_TLS": "verify-full"}, "POSTGRES_TLS: tls is verify-full without tls_ca, the file of the authority"),
        ({"POSTGRES_TLS": "verify-ca"}, "POSTGRES_TLS: tls is verify-ca without tls_ca, the file of the authority"),
        ({"POSTGRES_TLS": "verify-ca", "POSTGRES_TLS_CA": "{folder}/no"}, "POSTGRES_TLS_CA names {folder}/no, which"),
        (
            {"POSTGRES_TLS": "verify-ca", "POSTGRES_TLS_CA": "{folder}/text"},
            "names {folder}/text, which holds no",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_named(environ: dict[str, str], text: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(SettingsError) as raised:
        load(None, None, {name: value.format(folder=tmp_path) for name, value in environ.items()})
    assert text.format(folder=tmp_path) in str(raised.value)
