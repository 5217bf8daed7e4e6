"""One-time tickets, and tokens that are no longer good."""

from __future__ import annotations

from itertools import count

from presence_server.application.principals import Principal
from presence_server.identity import revocations, tickets
from presence_server.identity.revocations import Revocations
from presence_server.identity.tickets import TICKET_LIFE, Tickets

ANN = Principal("user 1", 1, issued_at=100.0)


def numbered() -> Tickets:
    numbers = count(1)
    return Tickets(lambda: f"t{next(numbers)}")


def test_a_ticket_is_good_once() -> None:
    desk = numbered()
    ticket = desk.issue(ANN, 0.0)
    assert desk.redeem(ticket, 1.0) == ANN
    assert desk.redeem(ticket, 1.0) is None
    assert desk.redeem("t99", 1.0) is None


def test_a_ticket_is_good_for_its_time() -> None:
    desk = numbered()
    early, late = desk.issue(ANN, 0.0), desk.issue(ANN, 1.0)
    assert desk.redeem(early, TICKET_LIFE) is None
    assert desk.redeem(late, TICKET_LIFE) == ANN


def test_tickets_nobody_uses_are_dropped() -> None:
    desk = numbered()
    for _ in range(100):
        desk.issue(ANN, 0.0)
    desk.issue(ANN, TICKET_LIFE + 1)
    assert len(desk) == 1


def test_tickets_are_bounded() -> None:
    desk = numbered()
    first = desk.issue(ANN, 0.0)
    for _ in range(tickets.MAX_TICKETS):
        desk.issue(ANN, 0.0)
    assert len(desk) == tickets.MAX_TICKETS
    assert desk.redeem(first, 0.0) is None


def test_older_tokens_are_refused_and_newer_are_not() -> None:
    revoked = Revocations()
    revoked.add(1, None, 200.0, 200.0)
    assert revoked.refuses(ANN)
    assert revoked.refuses(ANN._replace(issued_at=None))
    assert not revoked.refuses(ANN._replace(issued_at=200.0))
    assert not revoked.refuses(ANN._replace(user_id=2))
    revoked.add(1, None, 150.0, 201.0)
    assert revoked.refuses(ANN._replace(issued_at=199.0))  # an earlier word stands


def test_a_device_is_revoked_alone() -> None:
    revoked = Revocations()
    revoked.add(1, "phone", 200.0, 200.0)
    assert revoked.refuses(ANN._replace(device_id="phone"))
    assert not revoked.refuses(ANN._replace(device_id="laptop"))
    assert not revoked.refuses(ANN)
    assert revoked.refuses(ANN, "phone")  # a token that is bound to no device, used for this one
    assert not revoked.refuses(ANN, "laptop")
    assert not revoked.refuses(ANN._replace(issued_at=200.0), "phone")


def test_revocations_are_bounded_in_number_and_time() -> None:
    revoked = Revocations()
    for user_id in range(1, revocations.MAX_REVOCATIONS + 2):
        revoked.add(user_id, None, 200.0, 200.0)
    assert len(revoked) == revocations.MAX_REVOCATIONS
    revoked.add(7, None, 300.0, 200.0 + revocations.KEPT)
    assert len(revoked) == 1
