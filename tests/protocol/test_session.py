"""The session's table. What each end may do, step by step, is in `vectors/session.json`."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_protocol.errors import OutOfTurn, Refused
from presence_protocol.messages import FIELDS, Hello, Ping, SelfChanged, SetStatus
from presence_protocol.session import (
    CLIENT_EVENTS,
    CLOSE,
    LOST,
    REFUSALS,
    SERVER_EVENTS,
    TABLE,
    Mark,
    Role,
    Session,
    State,
    advance,
    event_of,
    mermaid,
)

EVENTS = sorted(CLIENT_EVENTS | SERVER_EVENTS | {CLOSE, LOST})


def test_directions_do_not_overlap_and_are_complete() -> None:
    assert not CLIENT_EVENTS & SERVER_EVENTS
    assert set(FIELDS) == CLIENT_EVENTS
    assert {event for row in TABLE.values() for event in row} == set(EVENTS)
    assert set(TABLE) == set(State)


def test_every_refused_event_has_its_error_code() -> None:
    refused = {event for row in TABLE.values() for event, then in row.items() if then is Mark.REFUSED}
    assert refused == set(REFUSALS)


@pytest.mark.parametrize(("role", "state", "event"), list(product(Role, State, EVENTS)))
def test_advance_goes_by_the_table(role: Role, state: State, event: str) -> None:
    then = TABLE[state].get(event)
    is_received = event in (SERVER_EVENTS if role is Role.CLIENT else CLIENT_EVENTS)
    if isinstance(then, State):
        assert advance(role, state, event) is then
    elif then is Mark.IGNORED and is_received:
        assert advance(role, state, event) is state
    elif then is Mark.REFUSED and is_received:
        with pytest.raises(Refused) as refusal:
            advance(role, state, event)
        assert refusal.value.error == "already_greeted"
    else:
        with pytest.raises(OutOfTurn) as violation:
            advance(role, state, event)
        assert not isinstance(violation.value, Refused)
        assert state.name in str(violation.value)
        assert event in str(violation.value)


@given(st.sampled_from(Role), st.lists(st.sampled_from(EVENTS)))
def test_a_session_never_goes_back(role: Role, events: list[str]) -> None:
    state = State.OPEN
    for event in events:
        before = state
        try:
            state = advance(role, state, event)
        except OutOfTurn:
            continue
        assert state >= before
        if event == LOST:
            assert state is State.CLOSED
        if event == CLOSE:
            assert state >= State.CLOSING


@given(st.lists(st.sampled_from(EVENTS)))
def test_what_one_end_may_send_the_other_may_receive(events: list[str]) -> None:
    ends = {Role.CLIENT: Session(Role.CLIENT), Role.SERVER: Session(Role.SERVER)}
    for event in events:
        sender = Role.SERVER if event in SERVER_EVENTS else Role.CLIENT
        try:
            ends[sender].send(event)
        except OutOfTurn:
            continue
        assert ends[Role.SERVER if sender is Role.CLIENT else Role.CLIENT].receive(event)
        assert ends[Role.CLIENT].state is ends[Role.SERVER].state


def test_a_refused_hello_leaves_the_session_as_it_was() -> None:
    session = Session(Role.SERVER)
    session.receive("hello")
    session.send("welcome")
    with pytest.raises(Refused):
        session.receive("hello")
    assert session.state is State.LIVE
    assert session.receive("watch")


def test_a_session_says_where_it_is() -> None:
    session = Session(Role.CLIENT)
    session.send("hello")
    assert repr(session) == "<Session CLIENT GREETED>"


def test_the_event_of_a_message_is_its_type() -> None:
    assert event_of(Ping()) == "ping"
    assert event_of(SetStatus(status=None)) == "status"
    assert event_of(Hello(observer=True)) == "hello"
    assert event_of(SelfChanged(user_id=1, status="OFFLINE", override=None, devices=[])) == "self"


def test_the_diagram_draws_every_state_and_event() -> None:
    diagram = mermaid()
    assert diagram.startswith("stateDiagram-v2\n    [*] --> OPEN\n")
    for state in State:
        assert f"    {state.name} --> " in diagram
    for event in EVENTS:
        assert event in diagram
    # Mermaid ends a label at a colon.
    assert all(line.count(":") <= 1 for line in diagram.splitlines())
