"""What an omniscient observer knows of each device, from what the network did and what the application asked.

It never looks into the table. Of each device it keeps what must be so (it is connected, or within its grace period or
its REST lifetime: it must not be shown OFFLINE) and what may be so (it may still be shown: its end lies less than the
printed bound back). In between, and while an answer is outstanding, it does not know, and says nothing.

Times are those of the hub's clock of durations; of an `until`, the calendar's. The ghost bound runs on a clock of its
own, which stands still while the server stalls or its engine is away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from domain.naive_claims import NaiveClaims
from presence_server.application.ports import TruthChanged
from presence_server.domain.causes import Cause
from presence_server.domain.claims import LEAVE, Word
from presence_server.domain.model import Change, PublicState, Status
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
from simulator.loop import LONGEST_STALL

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
        "busy",
        "comes",
        "comes_over_rest",
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
        "unsure_busy",
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
        self.busy: bool | None = None
        self.unsure_busy = 0
        self.offlines = 0
        self.ends = 0  # how often it was to end at once
        self.comes = 0  # how often it was to come online
        self.comes_over_rest = False  # whether it ever was there over REST
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
    may_busy: bool


class UserTruth:
    __slots__ = ("arrivals", "claims", "devices", "doubted", "doubts", "pending", "pushed_out", "spared")

    def __init__(self, lifetimes: Mapping[Status, int]) -> None:
        self.devices: dict[str, DeviceTruth] = {}
        self.arrivals = 0  # of devices that may have ended another
        self.spared: set[DeviceTruth] = set()  # whom the last of these may not have ended
        self.doubted: dict[DeviceTruth, tuple[Link | None, float, float]] = {}  # whom it may have, and how they stood
        self.pushed_out = 0  # the connection that it did end
        self.claims = NaiveClaims(lifetimes)
        self.doubts: set[str] = set()  # sources of whose claims it is not known which there are
        self.pending = 0  # claims that were submitted and not answered

    def knows_claims(self, utc: float, unread: float) -> bool:
        """Whether it is known what is claimed of the user; not about the moment at which one begins or ends."""
        return not self.doubts and not self.pending and not self.is_at_an_edge(utc, unread)

    def is_at_an_edge(self, utc: float, unread: float = 0.0) -> bool:
        """`unread`: for how many seconds the server may not have read the calendar."""
        times = [time for said in self.claims.said for time in (said.since if said.is_planned else None, said.until)]
        return any(time is not None and utc - unread - SLACK <= time <= utc + SLACK for time in times)

    def doubt(self) -> None:
        """With the record, what is claimed may have been forgotten."""
        self.doubts |= {said.source for said in self.claims.said}


class Oracle:
    def __init__(self, world: World) -> None:
        self._world = world
        self.users: dict[int, UserTruth] = {}

    def user(self, user_id: int) -> UserTruth:
        user = self.users.get(user_id)
        if user is None:
            user = self.users[user_id] = UserTruth(self._world.scenario.lapses)
        return user

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
            asked = Asked(now, 0, user.arrivals, 0, False, False)
        else:
            device = self.device(transition.user_id, transition.device_id)
            may_idle = self._may_say(transition, getattr(transition, "idle", None), device, now)
            may_busy = self._may_say(transition, getattr(transition, "busy", None), device, now)
            device.comes_over_rest |= isinstance(transition, Online | Heartbeat)
            device.unsure_idle += may_idle
            device.unsure_busy += may_busy
            asked = Asked(now, device.ends, user.arrivals, device.comes, may_idle, may_busy)
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
    def _may_say(transition: AnyTransition, said: bool | None, device: DeviceTruth, now: float) -> bool:
        """Whoever says nothing of it leaves a device that is there as it is: coming back is no activity."""
        if said is None:
            return isinstance(transition, Connect | Online) and not device.must_live(now)
        return True

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
                elif self._world.is_late:  # it may hold it still: a later one may have been refused
                    device.ends += 1
                    device.forget()
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
                self._claimed(user, transition, made is not None and is_kept, asked.at)
            case Connect():
                device = self.device(transition.user_id, transition.device_id)
                device.unsure_idle -= asked.may_idle
                device.unsure_busy -= asked.may_busy
                if transition.status is not None:
                    self._hello_status(user, transition.status, made, asked.at)
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
                device.unsure_busy -= asked.may_busy
                device.arrived_until = NEVER
                if made is None:
                    device.idle = device.busy = None
                elif made.device is None:
                    must = device.must_live(now) and isinstance(transition, Heartbeat)
                    require(not must, "a live REST device was refused", transition)
                else:
                    self._stamped(transition, made)
                    self._said_levels(device, transition, made)
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
            device.idle = device.busy = None
            device.forget()
            return
        require(made.continued or not device.must_live(now), "a live session was not continued", connect)
        self._stamped(connect, made)
        self._said_levels(device, connect, made)
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

    def _said_levels(
        self, device: DeviceTruth, said: Connect | Online | Heartbeat | SetActivity, made: Transition
    ) -> None:
        is_new = isinstance(said, Connect | Online) and not made.continued
        device.idle = said.idle if said.idle is not None else False if is_new else device.idle
        device.busy = said.busy if said.busy is not None else False if is_new else device.busy

    def _claimed(self, user: UserTruth, claiming: Say | SetClaims, is_done: bool, asked_at: float) -> None:
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
        is_old = world.clock.now() - asked_at > SLACK / 2
        if not is_done or (has_end and world.is_late and (is_old or not world.clock.is_settled(SLACK))):
            user.doubts.add(source)
        elif is_whole:
            user.doubts.discard(source)

    def _knows(self, user: UserTruth) -> bool:
        world = self._world
        unread = LONGEST_STALL if world.loop.stalled_lately(SLACK) else 0.0
        return user.knows_claims(world.clock.calendar(), unread) and world.clock.is_settled(SLACK)

    def _hello_status(self, user: UserTruth, status: Status, made: Transition | None, asked_at: float) -> None:
        if made is not None and made.continued:
            user.pending -= 1
        else:
            self._claimed(user, Say(0, Word(status)), made is not None, asked_at)

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
        permissions = self._world.permissions
        if event.before == event.after and permissions is not None and event.user_id in permissions.restated:
            return  # told once more as they were: whether that is still so is for the next sweep
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
        self._check_statuses(user, after, here, event)

    def _check_statuses(self, user: UserTruth, public: PublicState, here: list[PublicState], event: object) -> None:
        """That of the user, and that of each platform if it is told. `here`: as claims make it of two words of
        devices."""
        tells = self._world.scenario.tells_platforms
        require((public.by_platform is not None) is tells, "platforms say more, or less", event)
        if here[0].status is here[1].status:
            require(public.status is here[0].status, "not the claim that wins", event, here[0])
            is_everywhere = not tells or set(public.by_platform or ()) == {public.status}
            require(is_everywhere, "a claim that does not hold everywhere", event)
            return
        self._check_word(list(user.devices.values()), public.status, event)
        for platform, status in zip(public.platforms, public.by_platform or (), strict=tells):
            self._check_word([d for d in user.devices.values() if d.platform == platform], status, event)

    def _check_word(self, devices: list[DeviceTruth], status: Status, event: object) -> None:
        """BUSY if any device is, else ONLINE if any is active, else AWAY: as far as an observer can be sure."""
        now, ghost_now = self._world.clock.now(), self._world.ghost_now()
        must = [device for device in devices if device.must_live(now)]
        maybe = [device for device in devices if device.may_live(ghost_now)]
        busy = [None if device.unsure_busy else device.busy for device in maybe]
        if status is Status.BUSY:
            require(any(each is not False for each in busy), "a claim that nobody made", event)
            return
        is_busy = any(device.busy is True and not device.unsure_busy for device in must)
        require(not is_busy, "a device is busy", event)
        if self._world.scenario.lifetimes.away_after:
            return
        idle = [None if device.unsure_idle else device.idle for device in maybe]
        is_idle = status is Status.AWAY
        require(is_idle or not all(each is True for each in idle), "activity that nobody showed", event)
        is_active = any(device.idle is False and not device.unsure_idle for device in must)
        require(not is_idle or not is_active, "AWAY though active", event)

    def check_winners(self) -> None:
        """Of whoever is known in every respect, the claim that wins is the one that shows."""
        world, utc = self._world, self._world.clock.calendar()
        if world.is_late or world.loop.stalled_lately(SLACK):
            return
        for user_id, user in self.users.items():
            record = world.table.record(user_id)
            if record is None or not record.devices or not self._knows(user):
                continue
            public = record.public
            here = [user.claims.public(word, public.platforms, utc) for word in (Status.ONLINE, Status.AWAY)]
            if here[0].status is here[1].status:
                plain = public._replace(by_platform=None)
                require(plain == here[0], "not the claim that wins", record, here[0])
            if public.platforms:
                self._check_statuses(user, public, here, record)

    def check_ghosts(self) -> None:
        """Nobody is shown whose devices are all gone for longer than the bound."""
        ghost_now, table = self._world.ghost_now(), self._world.table
        for user_id, user in self.users.items():
            record = table.record(user_id)
            if record is not None and record.public.status is not Status.OFFLINE and record.public.platforms:
                is_there = any(device.may_live(ghost_now) for device in user.devices.values())
                require(is_there, "false ONLINE", user_id, record.public)
