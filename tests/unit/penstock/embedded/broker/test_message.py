"""What the journal keeps of a message."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from penstock.embedded.broker.message import Held, Message, from_payload, to_payload

NAMES = st.text(max_size=80).filter(lambda text: len(text.encode()) < 256)


@given(
    st.builds(Message, NAMES, NAMES, st.binary(max_size=300), st.binary(max_size=300), st.booleans()),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.none() | st.floats(1, 1e12),
)
def test_a_message_comes_back_as_it_was(
    message: Message, returns: int, priority: int, expires_at: float | None
) -> None:
    held = Held(message, 1, priority, expires_at, returns)
    found = from_payload(to_payload(held), 77)
    assert (found.priority, found.expires_at, found.returns) == (priority, expires_at, returns)
    assert (found.position, found.rank, found.redelivered) == (77, 77, False)
    for field in fields(Message):
        assert getattr(found.message, field.name) == getattr(message, field.name)
