"""What an omniscient observer knows of each device, from what the network did and what the application asked.

It never looks into the table. Of each device it keeps what must be so (it is connected, or within its grace period or
its REST lifetime: it must not be shown OFFLINE) and what may be so (it may still be shown: its end lies less than the
printed bound back). In between, and while an answer is outstanding, it does not know, and says nothing.

Times are those of the hub's clock of durations; of an `until`, the calendar's. The ghost bound runs on a clock of its
own, which stands still while the server stalls or its engine is away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from domain.naive_claims import NaiveClaims
from presence_server.application.ports import TruthChanged
from presence_server.domain.causes import Cause
from presence_server.domain.claims import LEAVE, Word
from presence_server.domain.model import Change, Status
from presence_server.domain.transitions import (
    AnyTransition,
    ChangeClaim,
    Connect,
    Disconnect,
    EndClaims,
    Evicted,
    Heartbeat,
    Leave,
    Offline,
    Online,
    Say,
    SetActivity,
    SetClaims,
    Transition,
)
from simulator.failure import require
from simulator.limits import spared

if TYPE_CHECKING:
    from simulator.network import Link
    from simulator.world import World

NEVER: Final = float("-inf")
LONG_STALL: Final = 1.3
"""Seconds which are more than the hub's `STALL` and a sweep."""
WAKING: Final = 1.0
"""Seconds after a suspension within which what is overdue has ended: a sweep is skipped, the next one sees to it."""
SLACK: Final = 2.0
"""Seconds beyond the bounds: the promise says as much."""


class DeviceTruth:
    __slots__ = (
        "arrived_until",
        "comes",
        "device_id",
        "ends",
        "holder",
        "idle",
        "is_holder_sure",
        "link",
        "links",
        "live_until",
        "maybe_until",
        "offlines",
        "platform",
        "promised_until",
        "unsure_idle",
    )

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.platform: object = None
        self.link: Link | None = None  # its connection, as far as the hub was told by the engine
        self.links: dict[Link, None] = {}  # connections that said hello for it and are up
        self.holder = 0  # of the last Connect that was submitted and whose end was not
        self.live_until = NEVER  # in grace
        self.promised_until = NEVER  # because of a heartbeat that was answered, whatever becomes of its connection
        self.arrived_until = NEVER  # because of a heartbeat that waits in a socket while the server stalls
        self.maybe_until = NEVER  # on the ghosts' clock
        self.idle: bool | None = None
        self.unsure_idle = 0
        self.offlines = 0
        self.ends = 0  # how often it was to end at once
        self.comes = 0  # how often it was to come online
        self.is_holder_sure = True

    def must_live(self, now: float) -> bool:
        until = max(self.live_until, self.promised_until, self.arrived_until)
        return (self.link is not None and self.link.is_true) or now < until

    def forget(self) -> None:
        """Nothing has to be so any more."""
        self.link = None
        self.live_until = self.promised_until = self.arrived_until = NEVER

    def may_live(self, ghost_now: float) -> bool:
        return bool(self.links) or ghost_now < self.maybe_until


class Asked(NamedTuple):
    """How things stood when a transition was submitted."""

    at: float
    ends: int
    arrivals: int
    comes: int
    may_idle: bool
    """Whether it may change who is idle."""


class UserTruth:
    __slots__ = ("arrivals", "claims", "devices", "doubted", "doubts", "pending", "pushed_out", "spared")

    def __init__(self) -> None:
        self.devices: dict[str, DeviceTruth] = {}
        self.arrivals = 0  # of devices that may have ended another
        self.spared: set[DeviceTruth] = set()  # whom the last of these may not have ended
        self.doubted: dict[DeviceTruth, tuple[Link | None, float, float]] = {}  # whom it may have, and how they stood
        self.pushed_out = 0  # the connection that it did end
        self.claims = NaiveClaims()
        self.doubts: set[str] = set()  # sources of whose claims it is not known which there are
        self.pending = 0  # claims that were submitted and not answered

    def knows_claims(self, utc: float) -> bool:
        """Whether it is known what is claimed of the user; not about the moment at which one begins or ends."""
        return not self.doubts and not self.pending and not self.is_at_an_edge(utc)

    def is_at_an_edge(self, utc: float) -> bool:
        times = [time for said in self.claims.said for time in (said.since if said.is_planned else None, said.until)]
        return any(time is not None and abs(time - utc) <= SLACK for time in times)

    def doubt(self) -> None:
        """With the record, what is claimed may have been forgotten."""
        self.doubts |= {said.source for said in self.claims.said}


class Oracle:
    def __init__(self, world: World) -> None:
        self._world = world
        self.users: dict[int, UserTruth] = {}

    def user(self, user_id: int) -> UserTruth:
        return self.users.setdefault(user_id, UserTruth())

    def device(self, user_id: int, device_id: str) -> DeviceTruth:
        devices = self.user(user_id).devices
        return devices.setdefault(device_id, DeviceTruth(device_id))

    # -- the network ---------------------------------------------------------------------------------------------------

    def link_down(self, link: Link) -> None:
        """The two ends are not connected any more, whoever knows."""
        client = link.client
        if not link.said_hello or not client.user_id:
            return
        scenario, now = self._world.scenario, self._world.clock.now()
        device = self.device(client.user_id, client.device_id)
        device.links.pop(link, None)
        device.maybe_until = max(device.maybe_until, self._world.ghost_now() + scenario.ghost_bound + SLACK)
        if device.link is link and not link.said_goodbye:
            device.live_until = max(device.live_until, now + scenario.lifetimes.grace)

    def closed(self, link: Link, code: int, reason: str) -> None:
        """The server closes: it must have had a reason."""
        world, client, now = self._world, link.client, self._world.clock.now()
        device = self.device(client.user_id, client.device_id) if client.user_id else None
        has_reason = {
            1000: link.said_goodbye,
            1012: world.is_ending,
            4409: device is not None and device.holder != (link.session.number if link.session else 0),
            4410: device is not None and (device.offlines > 0 or world.scenario.evicts),
            4411: world.scenario.evicts,
            4503: world.may_be_away(),
            4504: not link.was_welcomed and now - link.opened_at >= world.scenario.times.hello_timeout,
            4508: link.is_blocked and self._is_late(link, now),
        }
        require(has_reason.get(code), "closed without reason", link, code, reason)

    def _is_late(self, link: Link, now: float) -> bool:
        times = self._world.scenario.times
        is_silent = now - link.alive_at >= times.ping_interval + times.pong_timeout
        return is_silent or now - link.blocked_at >= times.lag_limit

    def aborted(self, link: Link) -> None:
        world, times = self._world, self._world.scenario.times
        patience = times.ping_interval + times.pong_timeout + SLACK
        was_stopped = not link.is_read or world.clock.now() - link.stopped_at < patience
        # What it answered before the machine slept may be on its way still.
        has_slept = world.loop.time - world.clock.woke_at <= SLACK
        is_dead = link.is_cut or was_stopped or not link.is_true
        require(is_dead or has_slept, "a live connection was given up", link)

    # -- what the application asks of the engine -----------------------------------------------------------------------

    def submitted(self, transition: AnyTransition) -> Asked:
        now, user = self._world.clock.now(), self.user(transition.user_id)
        if isinstance(transition, Connect | Online):
            self._comes(user, transition, now)
        if isinstance(transition, Say | SetClaims | ChangeClaim | EndClaims):
            asked = Asked(now, 0, user.arrivals, 0, False)
        else:
            device = self.device(transition.user_id, transition.device_id)
            may_idle = self._may_idle(transition, device, now)
            device.unsure_idle += may_idle
            asked = Asked(now, device.ends, user.arrivals, device.comes, may_idle)
        self._submitted(transition)
        return asked

    def arrived(self, transition: AnyTransition) -> None:
        """A request is in the server's socket, which may take its time to read it."""
        loop, now = self._world.loop, self._world.clock.now()
        # No two sweeps in a row are skipped: a second stall, with no sweep in time between, is not made up for.
        is_made_up_for = loop.is_stalled and loop.stall_seconds > LONG_STALL and not self._world.hub._is_skipping
        if isinstance(transition, Online | Heartbeat) and is_made_up_for:
            device = self.device(transition.user_id, transition.device_id)
            if not device.holder and device.is_holder_sure and device.must_live(now):
                device.arrived_until = now + self._world.scenario.lifetimes.rest

    def _comes(self, user: UserTruth, transition: Connect | Online, now: float) -> None:
        if self._world.scenario.forgets and not any(device.must_live(now) for device in user.devices.values()):
            user.doubt()
        if self._world.scenario.evicts:
            # A new device may end any other, unless one of the others goes first.
            user.arrivals += 1
            others = [device for device in user.devices.values() if device.device_id != transition.device_id]
            user.spared = set() if self._world.is_late else spared(others, now, self._world.scenario)
            user.doubted, user.pushed_out = {}, 0
            for device in others:
                if device not in user.spared:
                    user.doubted[device] = (device.link, device.live_until, device.promised_until)
                    device.forget()

    def _came(self, user: UserTruth) -> None:
        """The device that came is there. One at most was ended for it, and told of if it was connected."""
        for device, (link, live_until, promised_until) in user.doubted.items():
            was_pushed_out = link is not None and link.session is not None and link.session.number == user.pushed_out
            is_known = device.holder or user.pushed_out
            if is_known and not was_pushed_out and not self._world.is_late:
                device.link, device.live_until, device.promised_until = link, live_until, promised_until
        user.doubted = {}

    @staticmethod
    def _may_idle(transition: AnyTransition, device: DeviceTruth, now: float) -> bool:
        """Whoever says nothing of it leaves a device that is there as it is: coming back is no activity."""
        if isinstance(transition, Connect | Online) and transition.idle is None:
            return not device.must_live(now)
        return isinstance(transition, Connect | Online | Heartbeat | SetActivity) and transition.idle is not None

    def _submitted(self, transition: AnyTransition) -> None:
        user = self.user(transition.user_id)
        now, ghost_now = self._world.clock.now(), self._world.ghost_now()
        grace = self._world.scenario.lifetimes.grace
        match transition:
            case Connect(_, device_id, platform, holder):
                device = self.device(transition.user_id, device_id)
                device.holder, device.platform = holder, platform
                device.is_holder_sure = True
                device.comes += 1
                user.pending += transition.status is not None
                link = self._world.links[holder]
                if link.is_true:
                    device.links[link] = None
                device.maybe_until = max(device.maybe_until, ghost_now + self._world.scenario.ghost_bound + SLACK)
            case Disconnect(_, device_id, holder):
                device = self.device(transition.user_id, device_id)
                if device.holder == holder:
                    device.holder = 0
                    if device.link is not None and device.link.session and device.link.session.number == holder:
                        device.link = None
                        device.live_until = max(device.live_until, now + grace)
            case Leave(_, device_id, holder):
                device = self.device(transition.user_id, device_id)
                link = self._world.links[holder]
                is_ended = device.offlines or self._world.scenario.evicts
                require(link.said_goodbye or is_ended, "ended without a goodbye", link)
                if device.holder == holder:
                    device.holder = 0
                    device.ends += 1
                    self._gone(device)
            case Online(_, device_id, platform):
                device = self.device(transition.user_id, device_id)
                device.platform = platform
                device.comes += 1
                device.maybe_until = max(device.maybe_until, ghost_now + self._world.scenario.rest_bound + SLACK)
            case Offline(_, device_id):
                device = self.device(transition.user_id, device_id)
                device.offlines += 1
                device.ends += 1
                device.is_holder_sure = device.holder == 0 and device.is_holder_sure  # until it is answered
                device.holder = 0
                device.forget()
            case Say() | SetClaims():
                user.pending += 1

    def _must_live(self, device: DeviceTruth) -> bool:
        return device.must_live(self._world.clock.now())

    def _gone(self, device: DeviceTruth) -> None:
        device.forget()
        grace = self._world.scenario.lifetimes.grace
        device.maybe_until = self._world.ghost_now() + grace + SLACK

    def done(self, transition: AnyTransition, made: Transition | None, asked: Asked) -> None:
        user = self.user(transition.user_id)
        now = self._world.clock.now()
        if isinstance(transition, Connect | Online):
            self._came(user)
        match transition:
            case Say() | SetClaims():
                # Set while nobody is there, it may be forgotten before whoever is on the way arrives.
                is_kept = not self._world.scenario.forgets or any(map(self._must_live, user.devices.values()))
                self._claimed(user, transition, made is not None and is_kept)
            case Connect():
                device = self.device(transition.user_id, transition.device_id)
                device.unsure_idle -= asked.may_idle
                if transition.status is not None:
                    self._hello_status(user, transition.status, made)
                self._connected(device, transition, made, now)
                if user.arrivals != asked.arrivals:
                    device.forget()
            case Offline():
                device = self.device(transition.user_id, transition.device_id)
                device.is_holder_sure = made is not None
                if made is not None and device.comes == asked.comes:
                    self._gone(device)
            case Online() | Heartbeat() | SetActivity():
                device = self.device(transition.user_id, transition.device_id)
                device.unsure_idle -= asked.may_idle
                device.arrived_until = NEVER
                if made is None:
                    device.idle = None
                elif made.device is None:
                    must = device.must_live(now) and isinstance(transition, Heartbeat)
                    require(not must, "a live REST device was refused", transition)
                else:
                    self._stamped(transition, made)
                    self._said_idle(device, transition, made)
                    if not isinstance(transition, SetActivity):
                        is_sure = device.ends == asked.ends and user.arrivals == asked.arrivals
                        self._beat(device, asked.at, is_sure)

    def _beat(self, device: DeviceTruth, submitted_at: float, is_sure: bool) -> None:
        scenario = self._world.scenario
        if is_sure:
            device.promised_until = max(device.promised_until, submitted_at + scenario.lifetimes.rest)
        device.maybe_until = max(device.maybe_until, self._world.ghost_now() + scenario.rest_bound + SLACK)

    def _connected(self, device: DeviceTruth, connect: Connect, made: Transition | None, now: float) -> None:
        if made is None or made.device is None:
            device.idle = None
            device.forget()
            return
        require(made.continued or not device.must_live(now), "a live session was not continued", connect)
        self._stamped(connect, made)
        if connect.idle is not None:
            device.idle = connect.idle
        elif not made.continued:
            device.idle = False
        device.live_until = NEVER  # it is not in grace any more; what heartbeats promised it stands
        if device.holder != connect.holder:
            return  # ended or replaced while the engine was at it
        device.link = self._world.links[connect.holder]
        down_at = device.link.down_at
        is_dropped = down_at is not None and not device.link.said_goodbye
        if is_dropped and down_at is not None:
            device.live_until = down_at + self._world.scenario.lifetimes.grace

    def _stamped(self, transition: Connect | Online | Heartbeat | SetActivity, made: Transition) -> None:
        """What was stamped just now, the calendar says; and nothing later than it ever said is shown."""
        world = self._world
        record = world.table.record(transition.user_id)
        if world.is_late or record is None or made.device is None:
            return
        utc = world.clock.calendar()
        if isinstance(transition, Connect | Online) and not made.continued:
            off = made.device.online_time - utc
            require(abs(off) <= 1, "online since another time than the calendar's", transition, off)
            if not transition.idle:
                require(record.live_active() >= utc - 1, "active, and another time is shown", transition, record)
        require(record.live_active() <= world.clock.latest, "active in the future", transition, record)

    def _said_idle(self, device: DeviceTruth, said: Online | Heartbeat | SetActivity, made: Transition) -> None:
        if said.idle is not None:
            device.idle = said.idle
        elif isinstance(said, Online) and not made.continued:
            device.idle = False

    def _claimed(self, user: UserTruth, claiming: Say | SetClaims, is_done: bool) -> None:
        world = self._world
        user.pending -= 1
        utc = world.clock.calendar()
        source = claiming.source.name if isinstance(claiming, SetClaims) else "self"
        if isinstance(claiming, SetClaims):
            user.claims.put(source, list(claiming.claims), utc)
            is_whole = True
        else:
            user.claims.say(claiming.word, utc)
            # One with an end lies on top of what was said before.
            is_whole = claiming.word is None or (claiming.word.until is None and claiming.word.text is not LEAVE)
        # A store may have seen an end before the calendar was set back, and tell of it later.
        has_end = bool(user.claims.edges(utc))
        if not is_done or (has_end and world.is_late and not world.clock.is_settled(SLACK)):
            user.doubts.add(source)
        elif is_whole:
            user.doubts.discard(source)

    def _knows(self, user: UserTruth) -> bool:
        return user.knows_claims(self._world.clock.calendar()) and self._world.clock.is_settled(SLACK)

    def _hello_status(self, user: UserTruth, status: Status, made: Transition | None) -> None:
        if made is not None and made.continued:
            user.pending -= 1
        else:
            self._claimed(user, Say(0, Word(status)), made is not None)

    def lapsed(self) -> None:
        """The engine was away for so long that it may have let go of whatever is not connected."""
        now = self._world.clock.now()
        for user in self.users.values():
            if self._world.scenario.forgets:
                user.doubt()
            for device in user.devices.values():
                if max(device.live_until, device.promised_until, device.arrived_until) > now:
                    device.live_until = device.promised_until = device.arrived_until = NEVER

    def calendar_moves(self) -> None:
        """Somebody is about to set it. What has ended by it stays so; a late store may tell of that only later."""
        world, utc = self._world, self._world.clock.calendar()
        # A calendar that nobody read, since the server stalled or it was set again at once, ended nothing.
        is_unread = world.is_late or world.loop.stalled_lately(SLACK) or not world.clock.is_settled(SLACK)
        for user in self.users.values():
            if user.is_at_an_edge(utc) or (is_unread and user.claims.edges(utc)):
                user.doubt()
            user.claims.prune(utc)

    def slept(self, seconds: float) -> None:
        """The machine was suspended: what has lasted its time meanwhile ends at once, when sockets were read.

        Whoever's link is dead is found out by the ping that is due, and held for a grace period after that.
        """
        scenario, ghost_now = self._world.scenario, self._world.ghost_now()
        if self._world.is_late:
            return  # the store did not sleep
        for user in self.users.values():
            for device in user.devices.values():
                left = scenario.times.pong_timeout + scenario.lifetimes.grace
                if not device.holder and device.is_holder_sure:
                    left = 0.0
                elif seconds < scenario.ghost_bound:
                    continue
                left = max(left, device.maybe_until - ghost_now - seconds)
                device.maybe_until = min(device.maybe_until, ghost_now + left + WAKING)

    # -- what the engine tells -----------------------------------------------------------------------------------------

    def told(self, event: Change | Evicted | TruthChanged) -> None:
        if isinstance(event, Evicted) and event.cause is Cause.TOO_MANY_DEVICES:
            user = self.user(self._world.links[event.holder].client.user_id)
            pushed_out = [device for device in user.spared if device.holder == event.holder]
            require(not pushed_out, "pushed out by who should give way", event, pushed_out)
            user.pushed_out = event.holder
        if not isinstance(event, Change):
            return
        user, now, ghost_now = self.user(event.user_id), self._world.clock.now(), self._world.ghost_now()
        is_sure, after = self._knows(user), event.after
        must = [device for device in user.devices.values() if device.must_live(now)]
        if self._world.scenario.forgets and not must:
            is_sure = False
            user.doubt()
        utc, claims = self._world.clock.calendar(), user.claims
        away = claims.public(None, (), utc)
        own = claims.own(utc)
        if is_sure and own is not None and own.status is Status.OFFLINE:
            was_away = self._world.was_away and event.before == event.after
            is_text = event.before != event.after and event.before.status is Status.OFFLINE
            require(after.status is Status.OFFLINE, "unmasked", event)
            require(was_away or is_text, "moved while invisible", event)
            require(after == away, "invisible, and not as if away", event, away)
            return
        here = [claims.public(word, after.platforms, utc) for word in (Status.ONLINE, Status.AWAY)]
        is_claimed_away = here[0].status is Status.OFFLINE
        if after.status is Status.OFFLINE:
            require(not (must and is_sure and not is_claimed_away), "false OFFLINE", event, must)
            require(not is_sure or must or after == away, "not the text", event, away)
            return
        maybe = [device for device in user.devices.values() if device.may_live(ghost_now)]
        is_alone = is_sure and not must and after == away
        stands_alone = any(said.alone for said in claims.said) or not is_sure
        require(maybe or is_alone or stands_alone, "false ONLINE", event)
        shown = set(after.platforms)
        require(shown >= {device.platform for device in must}, "a platform is missing", event)
        require(shown <= {device.platform for device in maybe}, "a platform too many", event)
        if not is_sure or is_alone or not after.platforms:
            return
        require((after.text, after.emoji) == (here[0].text, here[0].emoji), "not the text", event, here[0])
        if here[0].status is here[1].status:
            require(after.status is here[0].status, "not the claim that wins", event, here[0])
            return
        idle_now = [None if device.unsure_idle else device.idle for device in maybe]
        require(after.status is not Status.BUSY, "a claim that nobody made", event)
        if self._world.scenario.lifetimes.away_after:
            return
        is_idle = after.status is Status.AWAY
        require(is_idle or not all(idle is True for idle in idle_now), "activity that nobody showed", event)
        active = any(device.idle is False and not device.unsure_idle for device in must)
        require(not is_idle or not active, "AWAY though active", event)

    def check_winners(self) -> None:
        """Of whoever is known in every respect, the claim that wins is the one that shows."""
        world, utc = self._world, self._world.clock.calendar()
        if world.is_late or world.loop.stalled_lately(SLACK):
            return
        for user_id, user in self.users.items():
            record = world.table.record(user_id)
            if record is None or not record.devices or not self._knows(user):
                continue
            here = [user.claims.public(word, record.public.platforms, utc) for word in (Status.ONLINE, Status.AWAY)]
            if here[0].status is here[1].status:
                require(record.public == here[0], "not the claim that wins", record, here[0])

    def check_ghosts(self) -> None:
        """Nobody is shown whose devices are all gone for longer than the bound."""
        ghost_now, table = self._world.ghost_now(), self._world.table
        for user_id, user in self.users.items():
            record = table.record(user_id)
            if record is not None and record.public.status is not Status.OFFLINE and record.public.platforms:
                is_there = any(device.may_live(ghost_now) for device in user.devices.values())
                require(is_there, "false ONLINE", user_id, record.public)
