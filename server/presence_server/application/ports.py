"""What the application needs of the world, as protocols whose docstrings are their contracts.

Nothing here blocks and nothing is awaited: what may take time takes a `done` callback, which is called exactly once,
at once or later, on the event loop's thread. Callers must be ready for both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from presence_protocol.user_ids import UserId
from presence_server.application.principals import Denied, Principal
from presence_server.domain.causes import Cause
from presence_server.domain.lenses import Lens
from presence_server.domain.model import Change, Device, Kept, Shown, Status, Truth, UserKey, UserPresence
from presence_server.domain.transitions import AnyTransition, Evicted, Transition


class Clock(Protocol):
    """Tells the time to everything, by two clocks, each for its own. One is never made from the other."""

    def now(self) -> float:
        """For all that lasts: seconds on a clock that only grows, as fast as time does, also through a suspension.

        Its zero means nothing. Every argument called `now` is of this clock.
        """
        ...

    def utc(self) -> float:
        """For all that is stamped and told: seconds since 1970 as the system has it at this moment.

        Somebody may set it, either way and by any amount.
        """
        ...


class TruthChanged(NamedTuple):
    """Something changed that `user_id` may see of themselves: claims, devices, platforms, idleness.

    `cause` is why, and `by` the device that caused it; None: none did, or the engine does not know.
    """

    user_id: UserKey
    cause: Cause | None = None
    by: Device | None = None


EngineEvent = Change | Evicted | TruthChanged

Listener = Callable[[EngineEvent, float], None]
"""The hub's one entry for what an engine has to tell, and the time at which it does."""

Done = Callable[[Transition | None], None]
"""Takes what came of a transition; None if the engine could not carry it out, now or in doubt."""


def unheard(_made: Transition | None) -> None:
    """A `Done` where nobody waits for what came of it."""


class EngineStatistics(Protocol):
    """A frozen record of numbers; each engine has its own."""

    def _asdict(self) -> dict[str, int]: ...


class Engine(Protocol):
    """Keeps every user's presence, alone or together with other nodes.

    **Transitions.** `submit` hands one in. Transitions of one user take effect in the order in which they were
    submitted here; of different users, in any order. Each takes effect as a whole or not at all. Before its `done`
    is called, the listener has been told of the Change it made (if any, and if the user is followed), then of the
    connections of this node that it evicted, then of a changed truth. A Change made elsewhere, or by time, arrives at
    the listener in the same way. The end of a connection (Disconnect, Leave) is never lost: nobody would submit it
    again, so whatever its `done` was given, the engine sees to it once it can.

    **Following.** From the moment `follow`'s `done` is called with True until `unfollow`, the followed users are known
    here: `presence` and `changed_since` answer for them at once, and each of their Changes reaches the listener.
    Follows are counted per user: every `follow` has its `unfollow`, which comes after its `done`, also after False.
    Users with a session on this node have their `truth` known here likewise, from the `done` of their Connect to the
    submission of its end.

    **Order.** `seq` numbers what this process handed to the listener, in that order, and `changed_since` goes by it;
    a record's seq is that of its latest Change. A user who comes to be known, after what happened to them was told to
    nobody here, takes the next seq: no cursor that was given out before speaks for that. Of a user without a version
    there is nothing to tell, and the seq is 0. `restamp` gives a record the
    next seq, for a Change that is published later than it was told; of a user not known any more, it may raise `floor`.
    `floor` is the greatest seq of any record that was ever forgotten, or that may stand for a forgotten one: from a
    seq below it, nothing can be resumed. Versions of one user only grow. Of followed users a `lookup` says neither
    less nor more than the listener was told by then.

    **Time.** `sweep` lets what is due by `now` expire; it is called some ten times a second, and not before what
    arrived in time was handed in. Whatever was submitted before a sweep takes effect before what that lets expire.
    `now` counts what lasts. Calendar times are stamped by whoever keeps them, the engine, when a transition takes
    effect; a claim begins and ends when the engine's calendar reaches its `from` and `until`, however it got there.

    **Life.** `start` comes after `attach`, before anything else is asked of the engine; `stop` last. From `drain` on
    nothing expires here: the node's clients have been told to move, and are not to be shown as gone meanwhile. Numbers
    of sessions and of holders are the engine's to give, since no two may be alike in the whole deployment.

    **Away.** An engine that cannot reach its store goes on answering for what is known. `follow` and `lookup` are told
    False and None in the end, and so is `submit`, which then may or may not have taken effect. When it is back, the
    engine first announces the connections that this node still holds, so that nobody is told that they had gone; then
    it tells the listener of everybody who has a greater version by now, as one Change whose `before` may equal its
    `after`; then of connections that others evicted, and of truths.
    """

    @property
    def epoch(self) -> int:
        """Identifies these seqs: chosen at random at the process's start, or kept with the state of those before it."""
        ...

    @property
    def seq(self) -> int: ...

    @property
    def floor(self) -> int: ...

    @property
    def gaps(self) -> Sequence[tuple[int, int]]:
        """Seqs above the first number of each pair, up to the second, of which what they were given for may be lost."""
        ...

    @property
    def answers_at_once(self) -> bool:
        """Whether each `done` is called before the call that it was given to returns, always."""
        ...

    @property
    def is_reachable(self) -> bool:
        """Whether its store can be reached now; always, if it has none."""
        ...

    def attach(self, listener: Listener) -> None:
        """Whom to tell: the last one attached. Called before anything else."""
        ...

    async def start(self) -> None:
        """Begin, on the running loop. Raises OSError: the store cannot be used."""
        ...

    async def stop(self) -> None:
        """Let go of whatever is held outside of this process."""
        ...

    def drain(self, now: float) -> None:
        """This node is about to end: nothing expires here any more."""
        ...

    def next_number(self) -> int:
        """A number for a session, and for the connection that holds its device: unlike any other of the deployment."""
        ...

    def session_id(self, number: int) -> str:
        """The session of that number as `welcome` and the log spell it: also unlike any before a restart."""
        ...

    def submit(self, transition: AnyTransition, now: float, done: Done) -> None: ...

    def touch(self, user_id: UserKey, device_id: str, holder: int, now: float, spoke: bool) -> None:
        """Connection `holder` was heard; `spoke`: by a message other than a ping. May be gathered; never answers."""
        ...

    def follow(self, user_ids: Sequence[UserKey], now: float, done: Callable[[bool], None]) -> None: ...

    def unfollow(self, user_ids: Iterable[UserKey]) -> None: ...

    def presence(self, user_id: UserKey) -> UserPresence:
        """A followed user's public state."""
        ...

    def changed_since(self, user_ids: Iterable[UserKey], seq: int) -> list[UserPresence]:
        """Those of the followed `user_ids` with a greater seq, in the order of their seqs."""
        ...

    def truth(self, user_id: UserKey) -> Truth:
        """What a user with a session on this node may see of themselves."""
        ...

    def reveal(self, user_id: UserKey, now: float, done: Callable[[Truth | None], None]) -> None:
        """The truth of any user, known here or not, as of its `utc`; None if it cannot be had now."""
        ...

    def lookup(
        self,
        user_ids: Sequence[UserKey],
        now: float,
        done: Callable[[list[Shown] | None], None],
        with_devices: bool = False,
    ) -> None:
        """What anybody may ask of each of `user_ids`, in their order; None if it cannot be had now."""
        ...

    def statuses(self, user_ids: Sequence[UserKey], now: float, done: Callable[[list[Status] | None], None]) -> None:
        """The public status alone of each of `user_ids`, in their order; None if it cannot be had now."""
        ...

    def stretch(self, factor: float) -> None:
        """From now on a heartbeat keeps its device for `factor` times the usual."""
        ...

    def export(self, user_id: UserKey, now: float, done: Callable[[Kept | None], None]) -> None:
        """All that is kept of a user; None if it cannot be had now."""
        ...

    def next_version(self) -> int:
        """A version greater than any that was told here, and less than that of any Change to come.

        It takes the next seq as well, which no record has: a cursor from before it is known to be from before it.
        """
        ...

    def restamp(self, user_id: UserKey, now: float) -> None: ...

    def sweep(self, now: float) -> None: ...

    def statistics(self) -> EngineStatistics: ...


class Peer(NamedTuple):
    """Who is at the other end: the address of the TCP peer, and the `Authorization` header if there was one.

    `clients`: where headers say that the peer is a proxy, the addresses that whoever is behind it may have; none of
    them if nobody who is trusted vouches for one. None: the peer itself is the client.
    """

    address: str
    authorization: str | None = None
    clients: tuple[str, ...] | None = None
    ticket: str | None = None


class Wanted(NamedTuple):
    """As whom it would like to speak, as far as it has said so."""

    user_id: UserId | None = None
    device_id: str | None = None


class Authenticator(Protocol):
    """Decides who is at the other end. Called once per connection or request, never per message."""

    def authenticate(
        self,
        peer: Peer,
        token: str | None,
        wanted: Wanted,
        now: float,
        utc: float,
        done: Callable[[Principal | Denied], None],
    ) -> None:
        """Tell `done` who `peer` is, with `token` if it gave one besides those of `peer`.

        `wanted` may help somebody to decide, but decides nothing: what a principal may do is asked of it afterwards.
        """
        ...


Changed = Callable[[UserKey, Sequence[UserKey]], None]
"""Takes a viewer, and users of whom that viewer may see more or less than before."""


class Visibility(Protocol):
    """Decides who may see whom, and how much of them. All users are keys (see `application.keys`).

    Asked when an edge is added and when somebody asks, never per delivery, and never about services, which see
    everybody, or about users who look at themselves. What is decided here is told first of all to `changed`, which
    takes effect before it returns: so nothing is told after a permission was withdrawn.

    `is_open`: everybody may see everybody, always, so that nobody needs to be asked.
    """

    @property
    def is_open(self) -> bool: ...

    def attach(self, changed: Changed) -> None:
        """Whom to tell of a lens that is another from now on. Called once, before anything else."""
        ...

    def learn(self, viewer: UserKey, keys: Sequence[UserKey], now: float, done: Callable[[float | None], None]) -> None:
        """Find out how `viewer` sees each of `keys`; then `lens` knows. `done` is told for how many seconds that holds.

        None: until `changed` is told. Whatever cannot be found out is hidden.
        """
        ...

    def lens(self, viewer: UserKey, key: UserKey) -> Lens:
        """How `viewer` sees the user, as far as it is known now: FULL, COARSE or HIDDEN, which is also the unknown."""
        ...

    def is_contact(self, viewer: UserKey, key: UserKey) -> bool:
        """Whether `viewer` is a contact of the user: for what users show to their contacts only."""
        ...

    def sweep(self, now: float) -> None:
        """Time passes; called some ten times a second."""
        ...


class Sockets(Protocol):
    """The sockets of outlets, by slot: one frame to many of them, past their links."""

    def reserve(self, slots: int) -> None:
        """Slots below that number may be named from now on."""
        ...

    def write_all(self, slots: Collection[int], frames: tuple[bytes, bytes]) -> list[tuple[int, bytes]]:
        """Write to each slot the frame of its codec. Returns whom it did not reach whole, and what is left for each."""
        ...

    def forget(self, slot: int) -> None:
        """Nothing more is to be written to `slot` here."""
        ...


class Link(Protocol):
    """The connection beneath a session. Nothing here waits or fails.

    Whatever writes may find the socket full, and then says so to `Hub.blocked` before it returns.
    """

    def write(self, frame: bytes) -> None:
        """Send a finished frame."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, then discard what still arrives, for a second at most."""
        ...

    def abort(self) -> None:
        """Drop a link that is dead."""
        ...

    def has_room(self) -> bool:
        """Whether little enough of what was written still waits to go out that more may be written."""
        ...

    def read_on(self) -> None:
        """Take up reading again, where the session had it wait."""
        ...
