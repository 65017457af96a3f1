"""Addresses of graphs: all the ways to write one, and what an endpoint shows of it."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from penstock.errors import SettingsError
from penstock.settings import Neo4j
from penstock.sink import Endpoint
from penstock.stores.neo4j_address import Address, Login

NEO4J = Login("neo4j", "secret")


def settings(**parts: object) -> Neo4j:
    return Neo4j.model_validate({"password": "secret", **parts})


@pytest.mark.parametrize(
    ("parts", "uri", "database", "login"),
    [
        ({}, "bolt://localhost:7687", "neo4j", NEO4J),
        ({"password": ""}, "bolt://localhost:7687", "neo4j", None),
        ({"host": "graph", "port": 7999}, "bolt://graph:7999", "neo4j", NEO4J),
        ({"host": "graph:7688", "port": 7999}, "bolt://graph:7688", "neo4j", NEO4J),
        ({"host": "neo4j+s://graph", "port": 7999}, "neo4j+s://graph:7999", "neo4j", NEO4J),
        ({"host": "bolt://graph:7688", "port": 7999}, "bolt://graph:7688", "neo4j", NEO4J),
        ({"host": "::1"}, "bolt://[::1]:7687", "neo4j", NEO4J),
        ({"host": "[::1]:7688"}, "bolt://[::1]:7688", "neo4j", NEO4J),
        ({"database": "music", "username": "ann"}, "bolt://localhost:7687", "music", Login("ann", "secret")),
        ({"url": "bolt://graph"}, "bolt://graph:7687", "neo4j", NEO4J),
        ({"url": "neo4j://bob:hush@graph:1/music", "host": "no"}, "neo4j://graph:1", "music", Login("bob", "hush")),
        ({"url": "bolt://a%40b:p%2F%3A%23@graph"}, "bolt://graph:7687", "neo4j", Login("a@b", "p/:#")),
        ({"url": "neo4j://graph/?policy=eu"}, "neo4j://graph:7687?policy=eu", "neo4j", NEO4J),
    ],
)
def test_an_address_is_put_together_of_what_is_set(
    parts: dict[str, object], uri: str, database: str, login: Login | None
) -> None:
    address = Address.of_settings(settings(**parts))
    assert (address.uri, address.database, address.login) == (uri, database, login)
    assert Address.of_endpoint(address.endpoint) == address


@pytest.mark.parametrize("login", [Login("neo4j", "p@ss:w/o?r#d %"), Login("a b", "ü"), Login("only", ""), None])
def test_an_endpoint_carries_any_login_and_shows_none(login: Login | None) -> None:
    address = Address("bolt", "graph", 7687, "music", login)
    assert Address.of_endpoint(address.endpoint) == address
    assert address.endpoint.name == "graph:7687/music"
    assert repr(address.endpoint) == "Endpoint(name='graph:7687/music', region='', records_taken=False)"
    assert repr(address) == "Address(scheme='bolt', host='graph', port=7687, database='music', query='')"


@pytest.mark.parametrize(
    "url",
    [
        "bolt://neo4j:pa#ss@graph",
        "bolt://neo4j:12#ss@graph",
        "bolt://neo4j:pa?ss@graph",
        "bolt://neo4j:12?ss@graph",
        "bolt://neo4j:12/ss@graph",
        "bolt://neo4j:12@ss@graph",
        "bolt://neo4j:ss@graph:port",
        "bolt://neo4j:ss@graph:0",
        "bolt://neo4j:ss@/music",
        "bolt://neo4j:ss@graph/music/more",
    ],
)
def test_a_url_that_cannot_be_told_apart_is_refused_without_quoting_it(url: str) -> None:
    unchecked = Neo4j.model_construct(url=SecretStr(url), password=SecretStr(""), port=7687, host="", database="neo4j")
    with pytest.raises(SettingsError, match="percent-encoded") as caught:
        Address.of_settings(unchecked)
    wanted = "HOST, HOST:PORT or bolt://USER:PASSWORD@HOST:7687/DATABASE, with special characters in it percent-encoded"
    assert str(caught.value) == f"NEO4J_URL cannot be read: it looks like {wanted}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_another_scheme_is_refused_with_those_that_can_be_used() -> None:
    with pytest.raises(SettingsError, match=r"the address of graph has the scheme 'http': use one of bolt, bolt\+s"):
        Address.of_endpoint(Endpoint("graph", "http://neo4j:hush@graph"))
