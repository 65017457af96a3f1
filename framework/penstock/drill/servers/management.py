"""RabbitMQ's management API, for what AMQP does not tell. Its counts lag by seconds: await them, never assert."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from penstock.drill.servers import tls
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from penstock.drill.servers.address import Address


class Management:
    """A client of one server. Raises httpx.HTTPStatusError where the server refuses."""

    def __init__(self, address: Address) -> None:
        self._user = address.username
        login = (address.username, address.password)
        url = f"{address.management_url}/api/"
        self._client = httpx.Client(base_url=url, auth=login, timeout=30, verify=tls.CONTEXT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    @contextmanager
    def virtual_host(self) -> Iterator[str]:
        """Add a virtual host under a new name, for the time of the block."""
        name = f"test-{secrets.token_hex(6)}"
        self.add_virtual_host(name)
        yield name
        self.remove_virtual_host(name)

    def add_virtual_host(self, name: str) -> None:
        """Add a virtual host, all permissions to this client's user."""
        self._put(f"vhosts/{quote(name, safe='')}", {})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._put(f"permissions/{quote(name, safe='')}/{quote(self._user, safe='')}", everything)

    def remove_virtual_host(self, name: str) -> None:
        """Remove a virtual host with its queues and connections."""
        self._client.delete(f"vhosts/{quote(name, safe='')}").raise_for_status()

    def queue(self, virtual_host: str, name: str) -> dict[str, Any]:
        """What the server knows of a queue: `type`, `arguments`, `messages`, `consumers` and so on."""
        answer = self._client.get(f"queues/{quote(virtual_host, safe='')}/{quote(name, safe='')}")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def queues(self, virtual_host: str) -> list[dict[str, Any]]:
        """The same of all queues of a virtual host."""
        answer = self._client.get(f"queues/{quote(virtual_host, safe='')}")
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found

    def bindings(self, virtual_host: str, name: str) -> list[dict[str, Any]]:
        """The bindings of a queue, but for that to the default exchange: `source`, `routing_key`, `arguments`."""
        answer = self._client.get(f"queues/{quote(virtual_host, safe='')}/{quote(name, safe='')}/bindings")
        answer.raise_for_status()
        return [binding for binding in answer.json() if binding["source"]]

    def delete_queue(self, virtual_host: str, name: str) -> None:
        """Delete a queue with all that is in it."""
        self._client.delete(f"queues/{quote(virtual_host, safe='')}/{quote(name, safe='')}").raise_for_status()

    def declare_queue(self, virtual_host: str, name: str, arguments: dict[str, Any]) -> None:
        """Declare a durable queue; does nothing where it is there with these arguments."""
        path = f"queues/{quote(virtual_host, safe='')}/{quote(name, safe='')}"
        self._put(path, {"durable": True, "arguments": arguments})

    def bind(self, virtual_host: str, name: str, binding: dict[str, Any]) -> None:
        """Bind a queue as one of its `bindings` said."""
        path = f"bindings/{quote(virtual_host, safe='')}/e/{quote(binding['source'], safe='')}/q/{quote(name, safe='')}"
        body = {"routing_key": binding["routing_key"], "arguments": binding["arguments"]}
        self._client.post(path, json=body).raise_for_status()

    def alarmed(self) -> bool:
        """Whether an alarm for memory or disk is in effect."""
        answer = self._client.get("health/checks/alarms")
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return True
        answer.raise_for_status()
        return False

    def publish(self, virtual_host: str, queue: str, properties: dict[str, Any], payload: str) -> None:
        """Publish to a queue with properties that a client library may refuse to send."""
        path = f"exchanges/{quote(virtual_host, safe='')}/amq.default/publish"
        message = {"properties": properties, "routing_key": queue, "payload": payload, "payload_encoding": "string"}
        answer = self._client.post(path, json=message)
        answer.raise_for_status()
        assert answer.json() == {"routed": True}

    def close_connection(self, name: str, seconds: float = 30) -> None:
        """Close the connection whose client gave it this name; waits until the server lists it. Raises TimeoutError."""
        wait_until(lambda: bool(self._connections(name)), seconds, f"connection {name} is listed")
        for found in self._connections(name):
            self._client.delete(f"connections/{quote(found, safe='')}").raise_for_status()

    def _connections(self, name: str) -> list[str]:
        answer = self._client.get("connections")
        answer.raise_for_status()
        return [one["name"] for one in answer.json() if one.get("client_properties", {}).get("connection_name") == name]

    def wait_for_messages(self, virtual_host: str, name: str, count: int, seconds: float = 30) -> None:
        """Wait until a queue is said to hold `count` messages, settled ones not counted. Raises TimeoutError."""
        wait_until(
            lambda: self.queue(virtual_host, name).get("messages") == count, seconds, f"{count} messages in {name}"
        )

    def _put(self, path: str, body: dict[str, Any]) -> None:
        self._client.put(path, json=body).raise_for_status()
