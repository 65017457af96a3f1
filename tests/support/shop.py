"""The text of a module with a worker `orders`, as an outside package would have it; its sink never opens."""

from __future__ import annotations

ORDERS = """
from penstock.errors import SinkUnavailable
from penstock.sink import Endpoint
from penstock.worker import Binding, Worker

class Sink:
    def __init__(self, worker, settings):
        self.password = settings.postgres.password.get_secret_value()
    async def open(self, endpoint):
        raise SinkUnavailable(f"{endpoint.name} refuses the password {self.password}")
    async def ping(self):
        pass
    async def close(self):
        pass

worker = Worker(
    name="orders", model=dict, natural_key=str, mapping=dict, sink=Sink,
    endpoints=lambda settings: [Endpoint("primary", "fake://")],
    bindings=(Binding("shop", "order"),), port=8123, description="Orders of the shop",
)
"""
