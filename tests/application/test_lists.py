"""Lists of ids, held to sets; and long ones that change step by step, with nobody told too much in between."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.kit import World
from presence_server.application import lists
from presence_server.application.contacts import MAX_LIST, ContactBook, Contacts
from presence_server.application.keys import PLAIN, StringKeys
from presence_server.application.lists import PIECE, cut, finish, in_order, stages, without
from presence_server.application.policies import ByContacts
from presence_server.domain.lenses import Lens

numbers = st.lists(st.integers(1, 60), max_size=40)


@pytest.fixture(params=[2, PIECE])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(lists, "PIECE", request.param)
    monkeypatch.setattr(lists, "_RUN", max(2, request.param))
    return int(request.param)


@given(some=numbers, others=numbers, is_text=st.booleans())
def test_lists_are_as_sets(some: list[int], others: list[int], is_text: bool) -> None:
    one = list(map(str, some)) if is_text else some
    two = list(map(str, others)) if is_text else others
    members, removed = finish(in_order(one)), finish(in_order(two))
    assert list(members) == sorted(set(one))
    assert list(finish(without(members, removed))) == sorted(set(one) - set(two))
    for member in members:
        assert list(cut(members, member)) == sorted(set(one) - {member})


@pytest.mark.usefixtures("piece")
def test_each_stage_is_the_one_before_with_what_changed() -> None:
    @given(st.tuples(numbers, numbers), st.tuples(numbers, numbers))
    def check(before: tuple[list[int], ...], after: tuple[list[int], ...]) -> None:
        start, end = ([finish(in_order(each)) for each in side] for side in (before, after))
        way = [(start, []), *stages(start, end)]
        seen: list[int] = []
        for (old, _), (new, changed) in pairwise(way):
            assert {id for a, b in zip(old, new, strict=True) for id in set(a) ^ set(b)} == set(changed)
            assert not set(changed) & set(seen)
            seen += changed
        assert [list(each) for each in way[-1][0]] == [list(each) for each in end]

    check()


def test_ten_thousand_contacts_are_kept_in_steps_that_concern_few() -> None:
    for book, ids in (
        (ContactBook(PLAIN), list(range(1, MAX_LIST + 1))),
        (ContactBook(StringKeys()), [f"user {number}" for number in range(MAX_LIST)]),
    ):
        kept = list(book.replace_in_steps(1, finish(book.contacts_of(ids, mutual=True))))
        assert sum(map(len, kept)) == 2 * MAX_LIST
        assert max(map(len, kept)) <= 2 * PIECE
        others = [f"other {number}" if isinstance(id, str) else id + MAX_LIST for number, id in enumerate(ids)]
        replaced = list(book.replace_in_steps(1, finish(book.contacts_of(others, mutual=False))))
        assert sum(map(len, replaced)) == 4 * MAX_LIST
        assert max(map(len, replaced)) <= 4 * PIECE
        assert max(map(len, book.erase_in_steps(1))) <= 2 * PIECE
        assert book.contacts(1) == Contacts()


@pytest.mark.usefixtures("piece")
def test_nobody_sees_by_an_edge_what_the_lists_do_not_allow_between_two_steps() -> None:
    book = ContactBook(PLAIN)
    policy = ByContacts(book, Lens.HIDDEN)
    world = World(visibility=policy)
    owner, viewers = 1, range(2, 12)
    book.set_contacts(owner, viewers, mutual=False)
    world.online(owner)
    clients = [world.connect(viewer, watch=[owner]) for viewer in viewers]
    world.wait(2)
    assert [client.status(owner) for client in clients] == ["ONLINE"] * len(viewers)
    for pairs in book.replace_in_steps(owner, finish(book.contacts_of([3, 7, 90], mutual=False))):
        with world.hub.turn:
            policy.tell(pairs)
        for client, viewer in zip(clients, viewers, strict=True):
            assert client.status(owner) == ("ONLINE" if book.is_contact(viewer, owner) else "OFFLINE")
        world.online(owner, f"device {len(pairs)}")
        world.wait(2)
        for client, viewer in zip(clients, viewers, strict=True):
            assert client.status(owner) == ("ONLINE" if book.is_contact(viewer, owner) else "OFFLINE")
    assert [viewer for viewer in viewers if book.is_contact(viewer, owner)] == [3, 7]
