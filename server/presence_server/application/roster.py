"""Who is connected: the sessions by their number, and those that hold a device by their user."""

from __future__ import annotations

from collections.abc import Iterator

from presence_protocol.session import State
from presence_server.application.clients import Clients
from presence_server.application.sessions import Session
from presence_server.domain.model import UserKey


class Roster:
    def __init__(self) -> None:
        self._by_number: dict[int, Session] = {}
        self._by_user: dict[UserKey, tuple[Session, ...]] = {}
        self.joined = 0
        """Sessions that hold a device."""
        self.clients = Clients()

    def add(self, session: Session) -> None:
        self._by_number[session.number] = session

    def find(self, number: int) -> Session | None:
        return self._by_number.get(number)

    def heard_at(self, number: int) -> float | None:
        """When the connection of that number was heard last; None if there is none."""
        session = self.find(number)
        return None if session is None else session.heard

    def join(self, session: Session, client: str | None = None) -> None:
        """The session holds its device: it is told of its user's truth from now on. `client`: as of `hello`."""
        others = self.of(session.user_id)
        session.client = self.clients.joined(client, [other.client for other in others])
        self._by_user[session.user_id] = (*others, session)
        self.joined += 1

    def of(self, user_id: UserKey) -> tuple[Session, ...]:
        """Those that hold a device of the user."""
        return self._by_user.get(user_id, ())

    def remove(self, session: Session) -> bool:
        """The session is over. Whether it was here."""
        if self._by_number.pop(session.number, None) is None:
            return False
        joined = self.of(session.user_id)
        others: tuple[Session, ...] = ()
        if len(joined) != 1 or joined[0] is not session:  # few users have several
            others = tuple(other for other in joined if other is not session)
        if len(others) < len(joined):
            self.joined -= 1
            self.clients.left(session.client, [other.client for other in others])
        if others:
            self._by_user[session.user_id] = others
        else:
            self._by_user.pop(session.user_id, None)
        return True

    @property
    def greeting(self) -> int:
        """Those that have connected, and are not greeted yet. Looks at all of them."""
        return sum(session.state is not State.LIVE for session in self._by_number.values())

    @property
    def users(self) -> int:
        """Users of whom a device is held."""
        return len(self._by_user)

    def __iter__(self) -> Iterator[Session]:
        """All of them, as of now: whoever goes through them may end some."""
        return iter(list(self._by_number.values()))

    def __len__(self) -> int:
        return len(self._by_number)

    def __repr__(self) -> str:
        return f"<Roster of {len(self)} sessions, {self.joined} of them of {self.users} users>"
