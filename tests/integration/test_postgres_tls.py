"""PostgreSQL over TLS, as POSTGRES_URL asks for it: the server's certificate is verified, or it is an outage."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import asyncpg
import pytest

from penstock.errors import SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.settings import load
from penstock.sink import Endpoint
from penstock.stores.postgres import endpoints
from penstock.testing import make_batch
from support.certificates import self_signed
from support.server_settings import set_to
from support.tables import ARTISTS, Database, artist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from penstock.drill.servers import Server
    from support.tables import Connection


async def _put(connection: Connection, name: str, content: str) -> None:
    """Write a file into the server's data folder, for its user alone; wherever the server runs."""
    encoded = base64.b64encode(content.encode()).decode()
    program = f"umask 077 && base64 -d > {name}"
    await connection.execute(f"COPY (SELECT '{encoded}') TO PROGRAM '{program}'")


@pytest.fixture
async def certificate(own_postgres: Server, tmp_path: Path) -> AsyncIterator[Path]:
    """The certificate of a server that now speaks TLS."""
    made = self_signed(tmp_path, "server")
    connection = await asyncpg.connect(own_postgres.url)
    try:
        if not await connection.fetchval("SHOW ssl_library"):
            pytest.skip("this PostgreSQL was built without TLS")
        await _put(connection, "server.crt", made.read_text())
        await _put(connection, "server.key", made.with_suffix(".key").read_text())
        async with set_to(connection, "ssl", "on"):
            yield made
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


@pytest.fixture
def oddly_named(certificate: Path) -> Path:
    """The same in a file whose name does not fit into a URL as it is."""
    return certificate.rename(certificate.with_name("ours & theirs.crt"))


async def test_the_settings_ask_for_it_as_the_url_does(own_postgres: Server, oddly_named: Path, tmp_path: Path) -> None:
    place = own_postgres.address
    environ = {
        "POSTGRES_HOST": place.host,
        "POSTGRES_PORT": str(place.port),
        "POSTGRES_USERNAME": place.username,
        "POSTGRES_PASSWORD": place.password,
        "POSTGRES_DATABASE": place.database,
        "POSTGRES_TLS": "verify-full",
        "POSTGRES_TLS_CA": str(oddly_named),
    }
    [endpoint] = endpoints(load(None, None, environ))
    connection = await asyncpg.connect(endpoint.url)
    assert await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    await connection.close()
    # The very same with another authority, so that nobody can say it was not looked at.
    stranger = self_signed(tmp_path, "stranger")
    [endpoint] = endpoints(load(None, None, environ | {"POSTGRES_TLS_CA": str(stranger)}))
    with pytest.raises(SinkUnavailable, match=r"certificate is not accepted.*POSTGRES_TLS_CA"):
        await Database(endpoint.url, None).sink(ARTISTS).open(endpoint)


async def test_a_certificate_that_is_gone_is_named_as_such(own_postgres: Server, tmp_path: Path) -> None:
    url = f"{own_postgres.url}?sslmode=verify-full&sslrootcert={tmp_path}/gone"
    with pytest.raises(SinkUnavailable, match="a file is missing: the certificate of POSTGRES_TLS_CA or sslrootcert"):
        await Database(url, None).sink(ARTISTS).open(Endpoint("test", url))


async def test_a_server_that_another_authority_vouches_for_is_an_outage(
    own_postgres: Server, certificate: Path, tmp_path: Path
) -> None:
    other = self_signed(tmp_path, "other")
    assert other != certificate
    url = f"{own_postgres.url}?sslmode=verify-full&sslrootcert={other}"
    with pytest.raises(SinkUnavailable, match=r"test: .*certificate is not accepted.*sslrootcert in POSTGRES_URL"):
        await Database(url, None).sink(ARTISTS).open(Endpoint("test", url))


async def test_a_server_without_tls_is_an_outage_where_tls_is_asked_for(own_postgres: Server) -> None:
    # The embedded one's URL has parameters of its own.
    url = f"{own_postgres.url}{'&' if '?' in own_postgres.url else '?'}sslmode=require"
    with pytest.raises(SinkUnavailable, match=r"test: .*SSL"):
        await Database(url, None).sink(ARTISTS).open(Endpoint("test", url))
