"""Who has a place, who makes room, and when nobody more is accepted."""

from __future__ import annotations

from presence_server.transports.http.books import PATIENCE, SPARE, Books, Place


class Guest:
    def __init__(self, books: Books, now: float = 0.0) -> None:
        self.is_sent_away = False
        self.place: Place = books.arrive(self, now)

    def give_way(self) -> None:
        self.is_sent_away = True


def test_who_is_idle_longest_makes_room_first() -> None:
    books = Books(3)
    one, two, three = (Guest(books) for _ in range(3))
    for guest in (two, one, three):
        books.work(guest.place)
    for guest in (two, one):
        books.rest(guest.place)
    fourth = Guest(books)
    assert fourth.place.is_taken
    assert [guest.is_sent_away for guest in (one, two, three)] == [False, True, False]
    assert books.taken == 3


def test_who_has_said_nothing_makes_room_only_after_a_while() -> None:
    books = Books(2)
    silent, busy = Guest(books), Guest(books)
    books.work(busy.place)
    assert not Guest(books, PATIENCE - 0.1).place.is_taken
    assert not silent.is_sent_away
    assert Guest(books, PATIENCE).place.is_taken
    assert silent.is_sent_away
    assert not Guest(books, PATIENCE).place.is_taken, "the newcomer has its time as well"


def test_nobody_who_is_served_makes_room() -> None:
    books = Books(1)
    busy = Guest(books)
    books.work(busy.place)
    assert not Guest(books, 1e6).place.is_taken
    books.leave(busy.place)
    assert Guest(books, 1e6).place.is_taken


def test_who_found_no_place_is_given_one_when_there_is_one() -> None:
    books = Books(1)
    first, second = Guest(books), Guest(books)
    books.work(first.place)
    assert not books.seat(second.place, 0.0)
    books.rest(first.place)
    assert books.seat(second.place, 0.0)
    assert first.is_sent_away
    assert books.seat(second.place, 0.0), "it keeps it"
    assert books.taken == 1


def test_a_place_is_given_back_once() -> None:
    books = Books(2)
    guest = Guest(books)
    books.give_back(guest.place)
    assert (books.taken, books.open) == (0, 1)
    books.leave(guest.place)
    assert (books.taken, books.open) == (0, 0)


def test_nobody_is_accepted_without_a_spare_descriptor() -> None:
    books = Books(4)
    told: list[bool] = []
    books.on_crowd = told.append
    guests = [Guest(books) for _ in range(4 + SPARE)]
    assert told == [True]
    while not told[1:]:
        books.leave(guests.pop().place)
    assert told == [True, False]
    assert books.open == 4 + SPARE // 2


def test_what_was_a_connection_and_is_a_websocket_is_only_counted() -> None:
    books = Books(1)
    guest = Guest(books)
    books.work(guest.place)
    books.close(had_place=True)
    assert (books.taken, books.open) == (0, 0)
