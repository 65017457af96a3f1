"""PostgreSQL over TLS, as POSTGRES_URL asks for it: the server's certificate is verified, or it is an outage."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from typing import TYPE_CHECKING

import asyncpg
import pytest

from penstock.drill.servers.wait import INTERVAL
from penstock.errors import SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.sink import Endpoint
from penstock.testing import make_batch
from support.tables import ARTISTS, Database, artist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from penstock.drill.servers import Server
    from support.tables import Connection


def _certificate(folder: Path, name: str) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key beside it."""
    certificate = folder / f"{name}.crt"
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", certificate.with_suffix(".key"), "-out", certificate]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    return certificate


async def _put(connection: Connection, name: str, content: str) -> None:
    """Write a file into the server's data folder, for its user alone; wherever the server runs."""
    encoded = base64.b64encode(content.encode()).decode()
    program = f"umask 077 && base64 -d > {name}"
    await connection.execute(f"COPY (SELECT '{encoded}') TO PROGRAM '{program}'")


async def _switch(connection: Connection, value: str) -> None:
    """Switch the server's TLS on or off, and wait until it is."""
    await connection.execute(f"ALTER SYSTEM SET ssl = {value}")
    await connection.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(10):
        while await connection.fetchval("SHOW ssl") != value:  # noqa: ASYNC110 the server tells nobody
            await asyncio.sleep(INTERVAL)


@pytest.fixture
async def certificate(own_postgres: Server, tmp_path: Path) -> AsyncIterator[Path]:
    """The certificate of a server that now speaks TLS."""
    made = _certificate(tmp_path, "server")
    connection = await asyncpg.connect(own_postgres.url)
    try:
        if not await connection.fetchval("SHOW ssl_library"):
            pytest.skip("this PostgreSQL was built without TLS")
        await _put(connection, "server.crt", made.read_text())
        await _put(connection, "server.key", made.with_suffix(".key").read_text())
        await _switch(connection, "on")
        yield made
        await _switch(connection, "off")
    finally:
        await connection.close()


async def test_the_certificate_is_verified_and_every_connection_encrypted(
    own_postgres: Server, certificate: Path
) -> None:
    url = f"{own_postgres.url}?sslmode=verify-full&sslrootcert={certificate}"
    async with Database(url, None).open(ARTISTS, pool_min=2) as sink:
        assert await sink.write(make_batch(artist("1"))) in ([WRITTEN], [DUPLICATE])
        look = await asyncpg.connect(own_postgres.url)
        encrypted = await look.fetch(
            "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'test-worker'"
        )
        await look.close()
    assert [row[0] for row in encrypted] == [True, True]


async def test_a_server_that_another_authority_vouches_for_is_an_outage(
    own_postgres: Server, certificate: Path, tmp_path: Path
) -> None:
    other = _certificate(tmp_path, "other")
    assert other != certificate
    url = f"{own_postgres.url}?sslmode=verify-full&sslrootcert={other}"
    with pytest.raises(SinkUnavailable, match=r"test: .*certificate is not accepted.*sslrootcert in POSTGRES_URL"):
        await Database(url, None).sink(ARTISTS).open(Endpoint("test", url))


async def test_a_server_without_tls_is_an_outage_where_tls_is_asked_for(own_postgres: Server) -> None:
    # The embedded one's URL has parameters of its own.
    url = f"{own_postgres.url}{'&' if '?' in own_postgres.url else '?'}sslmode=require"
    with pytest.raises(SinkUnavailable, match=r"test: .*SSL"):
        await Database(url, None).sink(ARTISTS).open(Endpoint("test", url))
