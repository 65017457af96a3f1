"""The development broker: AMQP 0-9-1 in one Python process, durable, for demos and development on one machine.

It does what Penstock and its tests ask of RabbitMQ, and refuses the rest with an AMQP error. Read broker.py first.
"""

from __future__ import annotations

from penstock.embedded.broker.part import BrokerPart

__all__ = ["BrokerPart"]
