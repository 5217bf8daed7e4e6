"""The changes of a tick -> one write per connection, encoded once per codec.

The hub gathers the topics of which something is new, last value each: one conflation for all watchers. A flush encodes
each entry once per codec, appends it to the outbox of each watcher, then writes one frame per outbox. A quiet server
flushes at once; then the wait is the flush interval or twice what the last flush took, as long as no change is late by
more than a maximum: the busier, the more changes per write. What there is to tell under a topic, an `EntrySource` says.

**Slices.** `step` does a bounded piece of work, so that the loop serves others in between. A topic with very many
watchers goes by a lane of its own, a segment of the watchers at a time, whenever the ordinary lane has nothing due:
a celebrity delays nobody else's changes. Nothing else is due to anybody then, so that one frame goes to all of a
segment, past their outboxes and, where they have sockets, past everything else that is theirs.

**Cursors.** `settled` is the seq up to which everything was written to every watcher that is not behind. It stands
still while anything is gathered, sliced or under way. A flush without slices includes itself. An outbox that waits
for its slice is written before anything else is sent to its connection, so that no version goes back.

**Riders.** What else is due to an outlet when changes are gathered, its own user's truth, goes out in front of its diff
with the same write: a write costs more than all that is in it.

**Slow watchers** have no queue: whoever is behind is skipped here, and served later from its seq (see `catchup`).

Measured when this was tried: a list per watcher and one join cost 15-40 ns a delivery, a dict per watcher 90-150;
slicing the ordinary lane by deliveries alone cost changes per write, which is all that matters when busy.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from presence_protocol.codec import CODECS
from presence_protocol.limits import MAX_MESSAGE
from presence_protocol.messages import AnyServerMessage
from presence_server.application.cursors import Cursor
from presence_server.application.entries import byte_parts, part_bytes
from presence_server.application.outlets import Outlet, Outlets
from presence_server.application.ports import Clock, Sockets
from presence_server.application.tallies import Histogram
from presence_server.application.tempo import Tempo
from presence_server.application.turn import Turn
from presence_server.application.views import EntrySource
from presence_server.domain.interest import Interest
from presence_server.domain.model import Topic

SLICE_DELIVERIES: Final = 20_000
"""Appends to outboxes in one slice: about half a millisecond."""

SLICE_WRITES: Final = 500
"""Writes to connections in one slice: 3 to 4 ms, at 6-8 us a write."""

PART_BYTES: Final = 200_000
"""Bytes of entries in one diff at most: well below the least `max_message` that a client would expect to receive."""

FEW: Final = 200
"""Entries that fit one message whatever is in them, unless `max_message` is small: none is longer than a kilobyte."""

HEAVY: Final = 2_000
"""Watchers from which on a topic goes by the lane of their own."""


class FanoutStatistics(NamedTuple):
    outlets: int
    gathered: int
    heavy: int
    flushes: int
    deliveries: int
    writes: int


class _Heavy:
    """A change on its way to very many watchers. `version` may grow while it is: then it goes around once more.

    `since` is when it changed; `again_since` when it changed anew, None if it has not. `without` are slots that may not
    be told any more.
    """

    __slots__ = ("again_since", "position", "since", "slots", "version", "without")

    def __init__(self, version: int, slots: array[int], since: float) -> None:
        self.version = version
        self.slots = slots
        self.since = since
        self.position = 0
        self.again_since: float | None = None
        self.without: set[int] = set()


class Fanout:
    def __init__(
        self,
        source: EntrySource,
        interest: Interest,
        clock: Clock,
        turn: Turn,
        flush_interval: float = 0.01,
        max_flush_interval: float = 0.25,
        slice_deliveries: int = SLICE_DELIVERIES,
        slice_writes: int = SLICE_WRITES,
        heavy: int = HEAVY,
        sockets: Sockets | None = None,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        self._source = source
        self._interest = interest
        self._clock = clock
        self._turn = turn
        self._framers = turn.framers
        self.tempo = Tempo(flush_interval, max_flush_interval)
        self._slice_deliveries = slice_deliveries
        self._slice_writes = slice_writes
        self._heavy_from = heavy
        self._part_bytes = part_bytes(max_message, PART_BYTES)
        self._few = min(FEW, max(1, self._part_bytes // 1000))
        self._outlets = Outlets(sockets)
        self._changed: dict[Topic, int] = {}
        self._since: list[float] = []
        """When each of those changed first: in their order, and rising."""
        self._flushed: list[float] = []
        """Of the flush under way."""
        self._heavy: dict[Topic, _Heavy] = {}
        self._flushing: Iterator[None] | None = None
        self._settled = 0
        self._settled_before = 0
        """What was settled when the flush under way, or the last one, began."""
        self.before_flush: Callable[[], None] = _nothing
        """Called when a flush begins: the time to let messages ride along."""
        self._flushes = self._deliveries = self._writes = 0
        self.latency = Histogram()
        """Seconds from a change to its last write, by topic and flush."""

    # -- outlets -------------------------------------------------------------------------------------------------

    def attach(self, outlet: Outlet, codec_number: int) -> int:
        """Give `outlet` a slot whose lowest bit is its codec. A slice holds slots: none is reused meanwhile."""
        return self._outlets.attach(outlet, codec_number, may_reuse=not self.is_under_way)

    def detach(self, slot: int) -> None:
        self._outlets.detach(slot)

    def outlet(self, slot: int) -> Outlet | None:
        return self._outlets.by_slot[slot]

    def is_waiting(self, slot: int) -> bool:
        """Whether something waits for its slice."""
        return bool(self._outlets.boxes[slot])

    def take_out(self, topic: Topic, slot: int) -> None:
        """`slot` may not be told of the topic any more: also not of a change that is on its way to very many."""
        heavy = self._heavy.get(topic)
        if heavy is not None:
            heavy.without.add(slot)

    # -- cursors -------------------------------------------------------------------------------------------------

    @property
    def is_under_way(self) -> bool:
        """Whether slices of a flush are still to come."""
        return self._flushing is not None or bool(self._heavy)

    @property
    def settled(self) -> int:
        """Everything up to this seq was written to every watcher that is not behind."""
        if self._changed or self.is_under_way:
            return self._settled
        return self._source.seq

    @property
    def cursor(self) -> str:
        return self._cursor_text(self.settled)

    def _cursor_now(self) -> str:
        """What everybody may claim to whom something is written now."""
        return self._cursor_text(self._settled)

    def _cursor_text(self, seq: int) -> str:
        return str(Cursor(self._source.epoch, seq))

    # -- the tick ------------------------------------------------------------------------------------------------

    def gather(self, topic: Topic, version: int, since: float) -> None:
        """`topic` has changed, at `since` or when that change could be told: tell the watchers with the next flush.

        Or what is shown of them under this topic changed: see `Views`.
        """
        if not self._changed and not self.is_under_way:
            # All before this change was written; it is the first that was not.
            self._settled = max(self._settled, self._before(topic))
        if topic not in self._changed:
            self._since.append(since)
        self._changed[topic] = version

    @property
    def is_gathering(self) -> bool:
        """Whether another flush is to come."""
        return bool(self._changed)

    def ride(self, slot: int, message: AnyServerMessage) -> None:
        """Send `message` with the flush that begins: see `before_flush`."""
        self._outlets.put_rider(slot, self._framers[slot & 1](CODECS[slot & 1].encode(message)))

    def overtake(self, slot: int) -> None:
        """What rides is older than what is about to be sent: drop it."""
        self._outlets.riders.pop(slot, None)

    def _before(self, topic: Topic) -> int:
        """The seq just before that of `topic`'s change: what was settled when it came."""
        return max(0, self._source.seq_of(topic) - 1)

    def delay(self, now: float) -> float | None:
        """Seconds until `step` has something to do; None if nothing is gathered."""
        if self._flushing is not None or self._heavy:
            return 0.0
        return max(0.0, self.tempo.free_at - now) if self._changed else None

    def step(self, now: float) -> None:
        """Do one slice: of the flush under way, of a new one if it is due, or of a heavy change."""
        if self._flushing is None and self._changed and now >= self.tempo.free_at:
            self.before_flush()
            changed, self._changed = self._changed, {}
            self._flushed, self._since = self._since, []
            self._flushing = self._flush(changed, self._source.seq)
            self.tempo.begin(now)
        if self._flushing is not None:
            with self._turn:
                try:
                    next(self._flushing)
                except StopIteration:
                    self._flushing = None
                    self._flushes += 1
            ended = self._clock.now()
            self.tempo.took(now, ended)
            if self._flushing is None:
                self.latency.observe_since(self._flushed, ended)
                self.tempo.end(ended)
        elif self._heavy:
            with self._turn:
                self._step_heavy()

    def _flush(self, changed: dict[Topic, int], target: int) -> Iterator[None]:
        self._settled_before = self._settled
        room = self._slice_deliveries
        entries: tuple[bytes, bytes] = (b"", b"")
        told = put = lane = 0
        for position, (topic, version) in enumerate(changed.items()):
            slots = self._interest.watchers(topic)
            # Who is under way in the lane stays there, whoever is left to watch: no change may overtake another.
            if len(slots) > self._heavy_from or topic in self._heavy:
                self._add_heavy(topic, version, slots, self._flushed.pop(position - lane))
                lane += 1
            elif slots:
                entries = self._encode(topic, version)
                self._outlets.put(entries, slots)
                put += len(slots)
                told += 1
                room -= len(slots)
                if room <= 0:
                    yield
                    room = self._slice_deliveries
        dirty = self._outlets.take_dirty()
        self._deliveries += put
        self.tempo.saved = max(0.0, 1 - len(dirty) / put) if put else 0.0
        sliced = len(dirty) > self._slice_writes or bool(self._heavy)
        if not sliced:
            self._settled = target
        # Every outbox of a tick with one change holds the same: one frame serves all.
        shared = self._frames(entries) if told == 1 else None
        for start in range(0, len(dirty), self._slice_writes):
            if start:
                yield
            self._turn.do(partial(self._write, dirty[start : start + self._slice_writes], shared, self._cursor_now()))
        if not self._heavy:
            self._settled = target

    def _add_heavy(self, topic: Topic, version: int, slots: array[int], since: float) -> None:
        under_way = self._heavy.get(topic)
        if under_way is None:
            self._heavy[topic] = _Heavy(version, slots, since)
        else:
            under_way.version = version
            if under_way.again_since is None:
                under_way.again_since = since

    def _step_heavy(self) -> None:
        """A segment of the watchers of the change that has waited longest."""
        topic, heavy = next(iter(self._heavy.items()))
        segment = heavy.slots[heavy.position : heavy.position + self._slice_writes]
        heavy.position += self._slice_writes
        if heavy.without:
            segment = array("I", (slot for slot in segment if slot not in heavy.without))
        if self._interest.is_watched(topic):
            # Encoded anew for each segment: a watcher may have been sent a newer version since the last one.
            self._turn.do(partial(self._share, segment, self._frames(self._encode(topic, heavy.version))))
        else:
            heavy.position = len(heavy.slots)  # all have left
        if heavy.position >= len(heavy.slots):
            del self._heavy[topic]
            self.latency.observe(self._clock.now() - heavy.since)
            if heavy.again_since is not None:
                self._heavy[topic] = _Heavy(heavy.version, self._interest.watchers(topic), heavy.again_since)
            elif not self._heavy and not self._changed and self._flushing is None:
                self._settled = self._source.seq

    def _encode(self, topic: Topic, version: int) -> tuple[bytes, bytes]:
        entry = self._source.entry(topic, version)
        # Of most servers all clients speak one codec.
        json, msgpack = self._outlets.spoken
        return CODECS[0].encode(entry) if json else b"", CODECS[1].encode(entry) if msgpack else b""

    # -- writing -------------------------------------------------------------------------------------------------

    def _frames(self, entries: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
        """A change by itself, for all whom nothing else is to be told."""
        cursor = self._cursor_text(self._settled)
        json, msgpack = (
            framer(*codec.diff([entry], cursor)) if entry else b""  # nobody speaks it
            for framer, codec, entry in zip(self._framers, CODECS, entries, strict=True)
        )
        return json, msgpack

    def _write(self, slots: Sequence[int], shared: tuple[bytes, bytes] | None, cursor: str) -> None:
        """Write the boxes of `slots`, and what rides. Some 6 us each, nearly all of it the kernel's."""
        boxes, outlets, riders = self._outlets.boxes, self._outlets.by_slot, self._outlets.riders
        framers = self._framers
        for slot in slots:
            box, outlet = boxes[slot], outlets[slot]
            rider = riders.pop(slot, b"") if riders else b""
            if (box or rider) and outlet is not None and not outlet.behind:
                self._writes += 1
                if not box:
                    frame = b""
                elif shared is not None and len(box) == 1:
                    frame = shared[slot & 1]
                else:
                    last = box if len(box) <= self._few else self._put_parts(slot, box, outlet.write)
                    frame = framers[slot & 1](*CODECS[slot & 1].diff(last, cursor))
                outlet.write(rider + frame if rider else frame)
            box.clear()

    def _share(self, slots: array[int], frames: tuple[bytes, bytes]) -> None:
        """Write one change to many to whom nothing else is due: 0.3 us each beside the kernel's 5.5.

        It touches nothing of those whom it reaches but their sockets: outbox, session, connection and transport are
        each memory out of the cache, together 1.3 us.
        """
        self._deliveries += len(slots)
        self._writes += len(slots)
        for slot, rest in self._outlets.sockets.write_all(slots, frames):
            outlet = self._outlets.by_slot[slot]
            if outlet is None or outlet.behind:
                self._writes -= 1
            else:
                outlet.write(rest)

    def _put_parts(self, slot: int, box: list[bytes], put: Callable[[bytes], None]) -> list[bytes]:
        """Put all parts but the last, which is returned: only that one's cursor covers the tick.

        A client that is lost between two parts must not claim the later one.
        """
        *earlier, last = byte_parts(box, self._part_bytes)
        cursor = self._cursor_text(self._settled_before)
        for part in earlier:
            put(self._framers[slot & 1](*CODECS[slot & 1].diff(part, cursor)))
        return last

    def empty(self, slot: int) -> None:
        """Put what waits for its slice into the turn, since something else is about to be: no version goes back."""
        box, outlet = self._outlets.boxes[slot], self._outlets.by_slot[slot]
        if box and outlet is not None and not outlet.behind:
            self._writes += 1
            with self._turn:
                self._turn.put(outlet, self._outlets.riders.pop(slot, b""))
                last = self._put_parts(slot, box, partial(self._turn.put, outlet))
                self._turn.put(outlet, self._framers[slot & 1](*CODECS[slot & 1].diff(last, self._cursor_now())))
        box.clear()

    def skip(self, slot: int) -> bool:
        """Drop what waits for its slice: the outlet fell behind and is served from its seq instead.

        Returns whether a rider was among it.
        """
        return self._outlets.drop(slot)

    def statistics(self) -> FanoutStatistics:
        return FanoutStatistics(
            outlets=len(self._outlets),
            gathered=len(self._changed),
            heavy=len(self._heavy),
            flushes=self._flushes,
            deliveries=self._deliveries,
            writes=self._writes,
        )


def _nothing() -> None:
    """Nobody rides along."""
