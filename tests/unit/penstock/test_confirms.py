"""Each publish gets its own answer, whatever the order in which the broker confirms, refuses and returns."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from penstock.confirms import Answer, Confirms
from penstock.delivery import NO_GENERATION, Delivery

#: Seconds that no test waits for.
NEVER = 600.0


def returned(message_id: str | None) -> Delivery:
    properties = Basic.Properties(message_id=message_id)
    return Delivery(NO_GENERATION, 0, b"", exchange="", routing_key="", redelivered=False, properties=properties)


def later() -> float:
    return asyncio.get_running_loop().time() + NEVER


#: Of each publish: what the broker makes of it; and whether its sender has given it up before.
FATES = st.lists(
    st.tuples(st.sampled_from([Answer.CONFIRMED, Answer.REFUSED, Answer.RETURNED]), st.booleans()), max_size=30
)


@given(FATES, st.data())
async def test_each_gets_its_own_answer(fates: list[tuple[Answer, bool]], data: st.DataObject) -> None:
    confirms = Confirms()
    answers = [confirms.add(f"m{number}", later()) for number in range(len(fates))]
    for answer, (_, given_up) in zip(answers, fates, strict=True):
        if given_up:
            answer.cancel()
    # A return comes in the order of the publishes, and before the confirm of its message; nothing else is sure.
    for number, (fate, _) in enumerate(fates):
        if fate is Answer.RETURNED:
            confirms.returned([returned(f"m{number}")])
    tags = data.draw(st.permutations(range(1, len(fates) + 1)))
    open_tags = set(tags)
    for tag in tags:
        if tag not in open_tags:
            continue
        taken = fates[tag - 1][0] is not Answer.REFUSED
        before = {other for other in open_tags if other <= tag}
        alike = all((fates[other - 1][0] is not Answer.REFUSED) is taken for other in before)
        multiple = alike and data.draw(st.booleans())
        confirms.settle(tag, multiple=multiple, taken=taken)
        open_tags -= before if multiple else {tag}
    for answer, (fate, given_up) in zip(answers, fates, strict=True):
        assert answer.cancelled() if given_up else answer.result() is fate
    confirms.lose(ConnectionError())


async def test_all_that_waits_is_told_of_a_loss_and_nothing_else() -> None:
    confirms = Confirms()
    first, second, third = (confirms.add(name, later()) for name in "abc")
    confirms.settle(1, multiple=False, taken=True)
    third.cancel()
    confirms.lose(ConnectionError("lost"))
    assert first.result() is Answer.CONFIRMED
    with pytest.raises(ConnectionError, match="lost"):
        second.result()
    # What still comes is of no consequence.
    confirms.settle(3, multiple=True, taken=True)
    confirms.settle(99, multiple=True, taken=True)


async def test_each_has_its_time() -> None:
    confirms, now = Confirms(), asyncio.get_running_loop().time()
    settled, first, second = (
        confirms.add(name, now + seconds) for name, seconds in zip("abc", (0.01, 0.02, 0.03), strict=True)
    )
    last = confirms.add("d", now + NEVER)
    confirms.settle(1, multiple=False, taken=True)
    for answer in (first, second):
        assert await answer is Answer.LATE
    assert settled.result() is Answer.CONFIRMED
    assert not last.done()
    # The answers of the others come too late.
    confirms.settle(4, multiple=True, taken=True)
    assert last.result() is Answer.CONFIRMED
    confirms.lose(ConnectionError())


async def test_a_publish_after_a_time_without_any_has_its_time() -> None:
    confirms, now = Confirms(), asyncio.get_running_loop().time
    for name in "ab":
        assert await confirms.add(name, now() + 0.01) is Answer.LATE


async def test_a_notice_ends_the_time_of_all_and_their_confirms_are_no_others() -> None:
    confirms = Confirms()
    before = confirms.add("a", later())
    confirms.expire()
    assert before.result() is Answer.LATE
    after = confirms.add("a", later())
    confirms.settle(1, multiple=False, taken=True)
    assert not after.done()
    confirms.returned([returned("a")])
    confirms.settle(2, multiple=False, taken=True)
    assert after.result() is Answer.RETURNED
    confirms.lose(ConnectionError())


async def test_of_two_of_an_id_none_counts_as_confirmed_that_may_have_come_back() -> None:
    """The first was given up by its sender; the return is the second's, or may be."""
    confirms = Confirms()
    confirms.add("a", later()).cancel()
    second = confirms.add("a", later())
    confirms.returned([returned("a")])
    confirms.settle(2, multiple=True, taken=True)
    assert second.result() is Answer.RETURNED
    confirms.lose(ConnectionError())


@pytest.mark.parametrize("unknown", ["b", "", None])
async def test_what_comes_back_and_cannot_be_told_from_the_others_leaves_none_confirmed(unknown: str | None) -> None:
    confirms = Confirms()
    answer = confirms.add("a", later())
    confirms.returned([returned(unknown)])
    confirms.settle(1, multiple=False, taken=True)
    with pytest.raises(ConnectionError, match="cannot be told"):
        answer.result()
