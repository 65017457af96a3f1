"""Headers go out as they came in."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp import decode
from pamqp.commands import Basic

from penstock.deadletter.letter import can_be_sent, letter_properties
from penstock.field_table import encoded_table
from penstock.message import make


@pytest.mark.parametrize("value", [0.1, 1e300, [0.1, {"a": -1e-300}]])
def test_a_double_stays_a_double(value: Any) -> None:
    headers = {"plain": 1, "value": value}
    assert decode.field_table(encoded_table(headers))[1] == headers
    properties = letter_properties(Basic.Properties(), headers)
    assert can_be_sent(properties)
    assert encoded_table(headers) in properties.marshal()
    # Nor is any digit lost in the outbox or the spill.
    message = make("m-1", "shop", "order", b"", headers=headers, content_type="", now=0)
    again = message.decoded()
    assert (again.headers or {})["value"] == value
    assert encoded_table(again.headers or {}) in again.marshal()


def test_a_long_name_stays_whole_and_a_longer_one_is_refused() -> None:
    headers = {"n" * 255: "x"}
    assert decode.field_table(encoded_table(headers))[1] == headers
    with pytest.raises(TypeError):
        encoded_table({"n" * 256: "x"})
    assert not can_be_sent(letter_properties(Basic.Properties(), {"n" * 256: "x"}))
