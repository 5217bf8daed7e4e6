"""Runs a core on asyncio: its actions become tasks, its deadline a timer, its tickets what callers await.

Why asyncio and not anyio: the `websockets` client speaks asyncio only, so nothing would be gained. There is no task
of the client's own: each link has one, and one timer stands for the core's deadline.

A core belongs to one event loop. Whoever calls from another loop or thread is refused before anything is done: an
await of theirs would never be woken, and the core is not made for two at once.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from presence_client.actions import Action, AskToken, Close, Open, Send, Settled
from presence_client.address import redacted
from presence_client.attempts import End
from presence_client.core import Core
from presence_client.errors import PresenceError, SignedOut, UsageError
from presence_client.failures import words_of
from presence_client.links import Link, LinkFactory
from presence_client.values import AskForToken, token_of
from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import AnyServerMessage

LEAVE_TIMEOUT: Final = 3.0
"""Seconds that a goodbye may take."""

LINGER: Final = 5.0
"""Seconds that a link which is to close may take, before it is dropped: the other side may read nothing more."""

CANCEL_TIMEOUT: Final = 1.0
"""Seconds that cancelled tasks are waited for: an application's token function may ignore it."""

_log = logging.getLogger("presence_client")


class _Events:
    """What one link reports, handed to the core with the link's number."""

    def __init__(self, runner: "Runner", number: int) -> None:
        self._runner = runner
        self._number = number

    def opened(self) -> None:
        _log.debug("= link %d open", self._number)
        self._runner.tell(lambda core, now: core.opened(self._number, now))

    def heard(self) -> None:
        self._runner.tell(lambda core, now: core.heard(self._number, now))

    def received(self, message: AnyServerMessage) -> None:
        _log.debug("< link %d %s", self._number, type(message).__name__)
        self._runner.tell(lambda core, now: core.received(self._number, message, now))


class Runner:
    """One core on the running event loop. `told` hears what the core tells, beside the replies to calls."""

    def __init__(
        self,
        core: Core,
        loop: asyncio.AbstractEventLoop,
        links: LinkFactory,
        ask_token: AskForToken | None,
        told: Callable[[Action], None],
    ) -> None:
        self._core = core
        self._loop = loop
        self._links_of = links
        self._ask_token = ask_token
        self._told = told
        self._links: dict[int, Link] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._tickets: dict[int, asyncio.Future[AnyServerMessage | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_performing = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the client lives in."""
        return self._loop

    def check_loop(self) -> None:
        """Refuse whoever calls from elsewhere.

        Raises:
            UsageError: no event loop runs here, or another one than the client's.
        """
        try:
            is_ours = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_ours = False
        if not is_ours:
            raise UsageError(
                "the client belongs to another event loop: use it within the asyncio.run() and the thread in which "
                "it was started, or make another with connect()"
            )

    def tell(self, event: Callable[[Core, float], None]) -> None:
        """Let something happen to the core, and carry out what follows."""
        event(self._core, self._loop.time())
        self._perform()

    async def call(self, begin: Callable[[Core, float], int], seconds: float) -> AnyServerMessage | None:
        """Begin a request, and wait for its reply for at most `seconds`.

        Raises:
            PresenceError: what the reply says, or why there is none.
        """
        self.check_loop()
        future: asyncio.Future[AnyServerMessage | None] = self._loop.create_future()
        ticket = begin(self._core, self._loop.time())
        self._tickets[ticket] = future
        self._perform()
        try:
            async with asyncio.timeout(seconds) as limit:
                return await future
        except TimeoutError:
            if not limit.expired():  # one of ours, which is a TimeoutError, too
                raise
            raise self._core.give_up(ticket, seconds) from None
        except asyncio.CancelledError:
            self._core.give_up(ticket, seconds)
            raise
        finally:
            self._tickets.pop(ticket, None)

    async def leave(self) -> None:
        """Say bye, and leave nothing behind. May be called again, and from within a token function."""
        self.tell(lambda core, now: core.leave(now))
        try:
            if tasks := self._others():
                await asyncio.wait(tasks, timeout=LEAVE_TIMEOUT)
        finally:
            # Also when cancelled while saying goodbye: tasks that are cancelled drop their links at once.
            tasks = self._others()
            for task in tasks:
                task.cancel()
            if self._timer is not None:
                self._timer.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=CANCEL_TIMEOUT)

    def abandon(self) -> None:
        """The event loop has ended, and all connections with it: there is nobody to say bye to."""
        self._core.leave(self._loop.time())
        self._core.take()

    # -- parts ---------------------------------------------------------------------------------------------------

    def _others(self) -> set[asyncio.Task[None]]:
        """The tasks, without the one that asks."""
        return self._running - {asyncio.current_task()}

    def _perform(self) -> None:
        if self._is_performing:
            return  # a link reports from within what it was asked: its actions come after those under way
        self._is_performing = True
        try:
            while actions := self._core.take():
                for action in actions:
                    self._do(action)
        finally:
            self._is_performing = False
        self._arm()

    def _arm(self) -> None:
        """One timer; one that fires too early arms itself anew, which is cheaper than to move it with each frame."""
        deadline = self._core.deadline()
        if self._timer is not None and (deadline is None or self._timer.when() > deadline):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and deadline is not None and not self._loop.is_closed():
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.tell(lambda core, now: core.tick(now))

    def _do(self, action: Action) -> None:
        match action:
            case AskToken(number) if number in self._links:
                self._run_beside(self._get_token(number))  # the link runs, and is to have another token
            case AskToken(number):
                self._spawn(number, self._get_token(number))
            case Open():
                self._open(action)
            case Send(number, message):
                _log.debug("> link %d %s", number, type(message).__name__)
                if (link := self._links.get(number)) is not None:  # else it has ended, and the core is about to hear it
                    link.send(message)
            case Close(number, code, reason):
                _log.debug("x link %d %d %s", number, code, reason)
                if code == CloseCode.ABNORMAL or number not in self._links:
                    self._drop(number)
                else:
                    self._links[number].close(code, reason)
                    self._loop.call_later(LINGER, self._drop, number)
            case Settled(ticket, reply, error):
                self._settle(ticket, reply, error)
            case _:
                self._told(action)

    def _open(self, action: Open) -> None:
        number = action.link
        try:
            self._links[number] = self._links_of(action.kind, action.token)
        except Exception as failure:  # a setting that nobody could check before, such as a file that has gone
            reason = words_of(failure)
            self.tell(lambda core, now: core.lost(number, End(CloseCode.ABNORMAL, reason, was_reached=False), now))
        else:
            self._spawn(number, self._run(number))

    def _spawn(self, number: int, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks[number] = task
        self._running.add(task)
        task.add_done_callback(lambda done: self._done(number, done))

    def _run_beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _done(self, number: int, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if self._tasks.get(number) is not task:
            return  # its token was got, and now its link runs
        del self._tasks[number]
        self._links.pop(number, None)
        # Of a link that it gave up itself the core ignores this.
        if task.cancelled():
            self.tell(lambda core, now: core.lost(number, End(CloseCode.ABNORMAL, "its task was cancelled"), now))
        elif (bug := task.exception()) is not None:
            _log.error("! link %d", number, exc_info=bug)
            self.tell(lambda core, now: core.lost(number, End(CloseCode.ABNORMAL, f"a bug: {bug!r}"), now))

    def _drop(self, number: int) -> None:
        task = self._tasks.get(number)
        if task is not None and task not in (_current_task(), None):
            task.cancel()

    async def _get_token(self, number: int) -> None:
        assert self._ask_token is not None
        try:
            asked = self._ask_token()
            given = await asked if inspect.isawaitable(asked) else asked
            if given is None:
                raise SignedOut
            token = token_of(given)
        except SignedOut as end:
            reason = str(end)
            self.tell(lambda core, now: core.signed_out(number, reason, now))
        except Exception as failure:
            reason = redacted(str(failure)) or type(failure).__name__
            self.tell(lambda core, now: core.token_failed(number, reason, now))
        else:
            self.tell(lambda core, now: core.token(number, token, now))

    async def _run(self, number: int) -> None:
        end = await self._links[number].run(_Events(self, number))
        _log.debug("x link %d ended %d %s", number, end.code, end.reason)
        self.tell(lambda core, now: core.lost(number, end, now))

    def _settle(self, ticket: int, reply: AnyServerMessage | None, error: PresenceError | None) -> None:
        future = self._tickets.get(ticket)
        if future is None or future.done():
            return
        if error is None:
            future.set_result(reply)
        else:
            future.set_exception(error)


def _current_task() -> "asyncio.Task[Any] | None":
    """The task that runs; None outside of any, as in a timer's callback."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
