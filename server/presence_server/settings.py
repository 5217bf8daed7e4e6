"""The settings: one declaration each, from which flags, variables, help text and the documents' table are made.

``load`` reads flags (``--grace-period 5``) and environment variables (``PRESENCE_GRACE_PERIOD=5``); flags win. A
`Settings` that exists is a valid one: every value is within its bounds, and no two of them contradict each other or
make one of the service's promises a lie. A wrong one is a `SettingsError` that names it as it was written.
"""

from __future__ import annotations

import argparse
import difflib
import ipaddress
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, NoReturn

from presence_server import __version__
from presence_server.identity.networks import LOOPBACK, parse_network
from presence_server.log_output import say
from presence_server.transports.origins import ANY, OPAQUE, is_loopback_host, parse_host, parse_origin

PROGRAM: Final = "presence-server"
PREFIX: Final = "PRESENCE_"

# A REST device lives for this many heartbeat intervals: one lost heartbeat is forgiven, two are not.
REST_LIFETIME_FACTOR: Final = 2.5
# What the ghost bounds allow for sweeps and batching, and how much of it batching may use up; more is added on top.
GHOST_SLACK: Final = 2.0
MAX_BATCHING_DELAY: Final = 1.5
# Descriptors that are not connections: listeners, logs, the loop's own, and a few to refuse connections with.
RESERVED_FILES: Final = 64
# Where the system sets no open-file limit: the usual ceiling of Linux (fs.nr_open).
UNLIMITED_FILES: Final = 1_048_576
# Times go to browsers, whose timers hold 24.8 days at most; a week is a round number below that.
WEEK: Final = 7 * 24 * 3600.0
MILLISECOND: Final = 0.001
MANY: Final = 1_000_000_000
# What a switch may be written as.
SWITCH: Final = dict.fromkeys(("on", "true", "yes", "1"), True) | dict.fromkeys(("off", "false", "no", "0"), False)

Value = str | bool | int | float | tuple[str, ...]


class SettingsError(ValueError):
    """A setting that cannot be. ``name``: the flag, variable or field as it was written; ``reason``: what is wrong."""

    def __init__(self, name: str, reason: str, involved: tuple[str, ...] = ()) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason
        self.involved = involved or (name,)  # the fields that could be changed to put it right

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Declaration:
    """Everything that is said of one setting."""

    name: str
    default: Value
    help: str
    unit: str
    least: float
    most: float
    choices: tuple[str, ...]
    empty: str = ""
    """What an empty list means."""
    repeats: bool = False
    """Whether its flag may be given more than once; the values are then one list, separated by commas."""

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def metavar(self) -> str:
        if self.choices or isinstance(self.default, bool):
            return "|".join(self.choices or ("on", "off"))
        return self.unit.upper() or {int: "N", str: self.name.upper(), tuple: "LIST"}[type(self.default)]

    @property
    def default_text(self) -> str:
        """The default as one would write it, with its unit; for an empty list, what that means."""
        if isinstance(self.default, tuple):
            return ",".join(self.default) or self.empty
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return f"{_number(self.default)} {self.unit}".rstrip()

    def parse(self, raw: str) -> Value:
        """Read the setting from a flag or a variable. Raises ValueError with the reason alone."""
        text = raw.strip()
        if isinstance(self.default, tuple):
            return tuple(dict.fromkeys(re.split(r"[,\s]+", text.strip(",")))) if text.strip(",") else ()
        if isinstance(self.default, str):
            return text
        if isinstance(self.default, bool):
            if (value := SWITCH.get(text.lower())) is None:
                raise ValueError(f"must be on or off, not {_shown(raw)}")
            return value
        if isinstance(self.default, int):
            if re.fullmatch(r"[+-]?[0-9]+(_[0-9]+)*", text) is None:
                raise ValueError(f"must be a whole number, not {_shown(raw)}")
            # beyond every bound, and Python refuses to convert or to show numbers of thousands of digits
            return int(text[:40])
        try:
            return float(text if text.isascii() else "")
        except ValueError:
            raise ValueError(f"must be a number of {self.unit}, not {_shown(raw)}") from None

    def check(self, value: Value) -> None:
        """Hold a value to the bounds of this setting alone. Raises ValueError with the reason alone."""
        if self.choices and value not in self.choices:
            raise ValueError(f"must be one of {', '.join(self.choices)}, not {_shown(value)}")
        if isinstance(self.default, str | tuple):
            return
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise ValueError(f"must be True or False, not {_shown(value)}")
            return
        if isinstance(value, bool) or not isinstance(value, int | float if isinstance(self.default, float) else int):
            raise ValueError(f"must be a number, not {_shown(value)}")
        unit = f" {self.unit}" if self.unit else ""
        if not math.isfinite(value):
            raise ValueError(f"must be a finite number of {self.unit}, not {value}")
        if value < self.least:
            raise ValueError(f"must be at least {_number(self.least)}{unit}, not {_number(value)}")
        if value > self.most:
            raise ValueError(f"must be at most {_number(self.most)}{unit}, not {_number(value)}")


def _text(
    default: str | tuple[str, ...], help: str, *, choices: tuple[str, ...] = (), empty: str = "", repeats: bool = False
) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices, "empty": empty, "repeats": repeats})


def _switch(default: bool, help: str) -> Any:
    return field(default=default, metadata={"help": help})


def _seconds(default: float, help: str, *, least: float = MILLISECOND, most: float = WEEK) -> Any:
    return field(default=default, metadata={"help": help, "unit": "seconds", "least": least, "most": most})


def _count(default: int, help: str, *, unit: str = "", least: int = 1, most: int = MANY) -> Any:
    return field(default=default, metadata={"help": help, "unit": unit, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one server; times in seconds. Raises SettingsError on values that cannot be."""

    host: str = _text(
        "127.0.0.1", "address or host name to listen on; several: separated by commas, or --host again", repeats=True
    )
    port: int = _count(8004, "port to listen on; 0 takes any free one", least=0, most=65535)
    grace_period: float = _seconds(10.0, "between the unclean end of a link and OFFLINE", least=0.0)
    ping_interval: float = _seconds(25.0, "between the server's WebSocket pings")
    pong_timeout: float = _seconds(10.0, "for the answer to a ping")
    hello_timeout: float = _seconds(10.0, "for the first message of a WebSocket")
    header_timeout: float = _seconds(0.0, "for the head of an HTTP request; 0 is hello_timeout", least=0.0)
    body_timeout: float = _seconds(0.0, "for the body of an HTTP request; 0 is hello_timeout", least=0.0)
    keep_alive_timeout: float = _seconds(75.0, "between two HTTP requests on one connection")
    answer_timeout: float = _seconds(30.0, "without progress, for a client to take an HTTP answer")
    heartbeat_interval: float = _seconds(30.0, "what /heartbeat asks REST clients for; they live 2.5 of these")
    away_after: float = _seconds(0.0, "no message but pings for that long shows as AWAY; 0 is off", least=0.0)
    flush_interval: float = _seconds(0.01, "what batching may delay a change on a quiet server", least=0.0)
    max_flush_interval: float = _seconds(0.25, "what batching may delay a change on a busy server", least=0.0)
    min_publish_interval: float = _seconds(1.0, "between changes of one flapping user, after 5; 0 is off", least=0.0)
    max_lag: float = _seconds(30.0, "a watcher that takes nothing for that long is closed with 4508")
    max_remembered: int = _count(1_000_000, "offline users whose last seen and override are kept")
    shards: int = _count(64, "parts that the table of users is split into", most=65536)
    max_connections: int = _count(0, "open connections; 0 is what the open-file limit allows", least=0)
    max_watched: int = _count(5000, "users that one connection may watch", most=1_000_000)
    max_devices: int = _count(
        16, "devices of one user; a further one ends one whose link is gone, else the one longest idle", most=1000
    )
    max_batch: int = _count(1000, "user ids in one query", most=100_000)
    max_header: int = _count(
        65_536, "first line and headers of one HTTP request", unit="bytes", least=1024, most=1024**2
    )
    max_message: int = _count(262_144, "one message or REST body", unit="bytes", least=1024, most=16 * 1024**2)
    compression: bool = _switch(False, "compress long messages for WebSocket clients that offer permessage-deflate")
    drain_timeout: float = _seconds(30.0, "for clients to move elsewhere after SIGTERM", least=0.0)
    allowed_origins: tuple[str, ...] = _text(
        (),
        "pages that may use it beside its own host's: scheme://host[:port], null or *, separated by commas",
        empty="same host",
    )
    trusted_networks: tuple[str, ...] = _text(
        LOOPBACK, "networks whose clients are let in and may act as any user, separated by commas"
    )
    trusted_proxies: tuple[str, ...] = _text(
        (), "networks of proxies whose word on a client's address is believed, separated by commas", empty="none"
    )
    allowed_hosts: tuple[str, ...] = _text(
        (), "names that requests may use for this server, beside localhost and addresses", empty="none"
    )
    engine: str = _text("memory", "where the table of users lives")
    log_format: str = _text("auto", "auto is human on a terminal, else json", choices=("auto", "human", "json"))
    log_level: str = _text("info", "least level that is logged", choices=("debug", "info", "warning", "error"))

    def __post_init__(self) -> None:
        for declaration in DECLARATIONS:
            try:
                declaration.check(getattr(self, declaration.name))
            except ValueError as error:
                raise SettingsError(declaration.name, str(error)) from None
        for host in self.hosts:
            _check_host(host)
        _check_engine(self.engine)
        for entry in self.allowed_origins:
            _check_origin(entry)
        for entry in self.allowed_hosts:
            if parse_host(entry) != entry.lower():
                reason = f"must hold host names without scheme or port, not {_shown(entry)}"
                raise SettingsError("allowed_hosts", reason)
        _check_networks("trusted_networks", self.trusted_networks)
        _check_networks("trusted_proxies", self.trusted_proxies)
        _check_together(self)

    @property
    def hosts(self) -> tuple[str, ...]:
        """All that `host` names, each once; at least one."""
        return hosts_of(self.host)

    @property
    def bound_to_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return all(is_loopback_host(host) for host in self.hosts)

    @property
    def lag_limit(self) -> float:
        """How long a watcher may be blocked: one that reads nothing answers no ping either."""
        return min(self.max_lag, self.ping_interval + self.pong_timeout)

    @property
    def rest_lifetime(self) -> float:
        """How long a REST device lives after its last /online or /heartbeat."""
        return REST_LIFETIME_FACTOR * self.heartbeat_interval

    @property
    def ghost_bound_websocket(self) -> float:
        """Within what time a device whose WebSocket died in whatever way is OFFLINE for all watchers."""
        return self.ping_interval + self.pong_timeout + self.grace_period + GHOST_SLACK + self._batching_excess

    @property
    def ghost_bound_rest(self) -> float:
        """Within what time of its last heartbeat a REST device is OFFLINE for all watchers."""
        return self.rest_lifetime + GHOST_SLACK + self._batching_excess

    @property
    def _batching_excess(self) -> float:
        """What unusually long intervals may delay a change beyond the slack: the printed bounds must not lie."""
        return max(0.0, self.max_flush_interval + self.min_publish_interval - MAX_BATCHING_DELAY)

    def connection_limit(self, open_file_limit: int) -> int:
        """How many connections may be open, at least 1.

        ``open_file_limit``: descriptors that the process may have open; negative for no limit. It also bounds a
        ``max_connections`` that asks for more, so that a full server says so instead of failing to accept.
        """
        files = open_file_limit if open_file_limit >= 0 else UNLIMITED_FILES
        possible = max(1, files - RESERVED_FILES)
        return min(self.max_connections or possible, possible)


def _declarations() -> tuple[Declaration, ...]:
    blank: dict[str, Any] = {"unit": "", "least": -math.inf, "most": math.inf, "choices": (), "empty": ""}
    return tuple(
        Declaration(**{**blank, **one.metadata, "name": one.name, "default": one.default}) for one in fields(Settings)
    )


DECLARATIONS: Final = _declarations()
"""The declaration of every setting, in the order in which documents list them."""


def hosts_of(host: str) -> tuple[str, ...]:
    """The addresses and names in a `host` setting, each once; at least one."""
    return tuple(dict.fromkeys(one.strip() for one in host.split(",")))


def _check_host(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?", host) is None:
            reason = f"must be an address or a host name, without scheme, port or brackets, not {_shown(host)}"
            raise SettingsError("host", reason) from None


def _check_engine(engine: str) -> None:
    # the value is not shown: a redis:// one may hold a password
    if engine.partition(":")[0] in ("redis", "rediss", "valkey", "valkeys"):
        raise SettingsError("engine", "a network engine is not available yet; the only engine is memory")
    if engine != "memory":
        raise SettingsError("engine", "must be memory, the only engine there is")


def _check_origin(entry: str) -> None:
    if entry in (ANY, OPAQUE):
        return
    origin = parse_origin(entry)
    if origin is None:
        reason = f"must hold scheme://host[:port] without path, null or *, not {_shown(entry)}"
        raise SettingsError("allowed_origins", reason)
    if origin.scheme in ("ws", "wss"):
        reason = f"an origin is the page's, so it starts with http:// or https://, not {_shown(entry)}"
        raise SettingsError("allowed_origins", reason)


def _check_networks(name: str, networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            parse_network(network)
        except ValueError as error:
            raise SettingsError(name, f"{_shown(network)} {error}") from None


def _check_together(settings: Settings) -> None:
    quiet, busy = settings.flush_interval, settings.max_flush_interval
    if quiet > busy:
        involved = ("flush_interval", "max_flush_interval")
        reason = (
            f"flush_interval ({_number(quiet)} seconds) must not be greater than "
            f"max_flush_interval ({_number(busy)} seconds)"
        )
        raise SettingsError(involved[0], reason, involved)


def load(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings from flags and environment variables; flags win, an empty variable counts as unset.

    ``argv`` is without the program's name. Raises SettingsError, named as the user wrote it; ``--help`` and
    ``--version`` print to standard output and raise SystemExit(0).
    """
    flags = _read_flags(argv)
    written: dict[str, str] = {}
    values: dict[str, Any] = {}
    for declaration in DECLARATIONS:
        if declaration.name in flags:
            name, raw = declaration.flag, flags[declaration.name]
        elif (raw := environ.get(declaration.variable, "")).strip():
            name = declaration.variable
        else:
            continue
        try:
            values[declaration.name] = declaration.parse(raw)
        except ValueError as error:
            raise SettingsError(name, str(error)) from None
        written[declaration.name] = name
    try:
        return Settings(**values)
    except SettingsError as error:
        name = next((written[name] for name in error.involved if name in written), error.name)
        raise SettingsError(name, error.reason) from None


def load_or_exit(argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """`load`, but a wrong setting is one line on standard error and SystemExit(2)."""
    try:
        return load(argv, environ)
    except SettingsError as error:
        say(sys.stderr, f"{PROGRAM}: {error}")
        raise SystemExit(2) from None


def misspelt_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """``PRESENCE_*`` variables that mean nothing but look like one that does: written name -> meant name.

    For a warning, not an error: a platform may set variables of its own under the same prefix.
    """
    known = [declaration.variable for declaration in DECLARATIONS]
    found: dict[str, str] = {}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            for meant in difflib.get_close_matches(name, known, n=1, cutoff=0.85):
                found[name] = meant
    return found


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(PROGRAM, " ".join(message.split()))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--SETTING VALUE ...]",
        description="Who is online: presence over WebSocket and REST.",
        epilog=f"Each setting is also an environment variable: --grace-period is {PREFIX}GRACE_PERIOD. "
        "A flag wins over a variable; an empty variable counts as unset.",
        allow_abbrev=False,  # a name that is written is a name that exists
        exit_on_error=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34),
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    for declaration in DECLARATIONS:
        parser.add_argument(
            declaration.flag,
            metavar=declaration.metavar,
            default=argparse.SUPPRESS,
            action="append" if declaration.repeats else "store",
            help=f"{declaration.help} (default: {declaration.default_text})".replace("%", "%%"),
        )
    return parser


def _read_flags(argv: Sequence[str]) -> dict[str, str]:
    """Flags as they were written, by the name of the setting; of those that do not repeat the last one wins."""
    try:
        known, unknown = _parser().parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        reason = "needs a value" if "expected one argument" in str(error) else str(error.message)
        raise SettingsError(error.argument_name or PROGRAM, reason) from None
    if unknown:
        name = unknown[0].partition("=")[0]
        flags = [declaration.flag for declaration in DECLARATIONS]
        close = difflib.get_close_matches(name, flags, n=1)
        hint = f"did you mean {close[0]}?" if close else f"see {PROGRAM} --help"
        kind = "no such flag" if name.startswith("-") else "not a flag"
        raise SettingsError(name if name.isprintable() else _shown(name), f"{kind}; {hint}")
    return {name: _written(raw) for name, raw in vars(known).items()}


def _written(raw: Any) -> str:
    """The value of a flag, or of one that was given several times."""
    if isinstance(raw, str):
        return raw
    # of `--host=--` argparse leaves an empty list
    return ",".join(map(_written, raw)) if raw else "--"


def markdown_table() -> str:
    """The settings as the Markdown table that the documents show (a test holds them to it); ends with a newline."""
    rows = ["| flag | default | |", "|---|---|---|"]
    for declaration in DECLARATIONS:
        meaning = declaration.help
        if declaration.choices:
            meaning += f" ({', '.join(declaration.choices)})"
        rows.append(f"| `{declaration.flag}` | {declaration.default_text} | {meaning} |")
    return "\n".join(rows) + "\n"


def start_line(settings: Settings, url: str, connection_limit: int) -> str:
    """The one line that a person sees at start: the page's link, the ghost bounds and the limits."""
    return (
        f"{PROGRAM} {__version__} at {url} | "
        f"a dead link shows as OFFLINE within {_number(round(settings.ghost_bound_websocket, 3))} s "
        f"(WebSocket) or {_number(round(settings.ghost_bound_rest, 3))} s (REST) | "
        f"up to {connection_limit} connections, {settings.max_watched} watched users each, "
        f"{settings.max_devices} devices per user, {settings.max_batch} users per query, "
        f"{settings.max_message} bytes per message"
    )


def _number(value: object) -> str:
    """A value as one would write it: numbers without a needless fraction."""
    return str(value).removesuffix(".0")


def _shown(value: object) -> str:
    """A wrong value as it may stand in one line: quoted, escaped, and cut short."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
