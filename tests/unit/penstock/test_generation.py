"""The window of tags that one channel has given out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.generation import AckWindow


class Channel:
    """The broker's side of one channel: refuses what RabbitMQ refuses."""

    def __init__(self, sent: int) -> None:
        self.open = set(range(1, sent + 1))

    def ack_multiple(self, tag: int) -> set[int]:
        assert tag in self.open, "PRECONDITION_FAILED - unknown delivery tag"
        covered = {one for one in self.open if one <= tag}
        self.open -= covered
        return covered


@given(st.permutations(range(1, 15)), st.lists(st.integers(1, 4), min_size=14, max_size=14))
def test_nothing_is_acked_that_is_not_settled_and_everything_is_in_the_end(order: list[int], sizes: list[int]) -> None:
    window, channel, settled = AckWindow(), Channel(14), set[int]()
    tags = list(order)
    for size in sizes:
        group, tags = tags[:size], tags[size:]
        settled |= set(group)
        reach = window.settle(group)
        if reach is not None:
            assert channel.ack_multiple(reach) <= settled
    assert channel.open == set()
    assert window.acked == 14


def test_a_tag_settled_twice_is_not_sent_twice() -> None:
    window = AckWindow()
    assert window.settle([1, 2]) == 2
    assert window.settle([1, 2]) is None
    assert window.settle([4]) is None
    assert window.settle([3]) == 4
