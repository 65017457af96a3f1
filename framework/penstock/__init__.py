"""Sink workers for RabbitMQ that do not lose data."""
