"""Ids of messages are UUIDv7 in the order they were made."""

from __future__ import annotations

from uuid import RFC_4122, UUID

from penstock.identifier import Identifiers
from support.clock import ManualClock


def test_an_id_is_a_uuid_of_version_7_with_the_time_in_front() -> None:
    clock = ManualClock()
    clock.time = 1_645_557_742.0  # the example of RFC 9562, appendix A.6
    made = UUID(Identifiers(clock).next())
    assert made.version == 7
    assert made.variant == RFC_4122
    assert made.int >> 80 == 0x017F22E279B0


def test_ids_are_in_order_even_where_the_clock_stands_or_goes_back() -> None:
    clock = ManualClock()
    identifiers = Identifiers(clock)
    made = [identifiers.next() for _ in range(5000)]
    clock.time -= 100
    made += [identifiers.next() for _ in range(10)]
    clock.time += 200
    made += [identifiers.next()]
    assert made == sorted(set(made))


def test_two_processes_at_the_same_time_make_different_ids() -> None:
    clock = ManualClock()
    assert Identifiers(clock).next() != Identifiers(clock).next()
