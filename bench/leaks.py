"""What a hundred thousand connections leave behind in the server, which should be nothing.

Run as `python bench/leaks.py [cycles]`. A cycle connects, says hello, watches, and vanishes in one of the `ENDS`. After
the first five thousand cycles, and again after the last, when grace periods have run out, the server's resident memory,
its open files and every gauge of its /metrics are read: gauges and files must be what they were, and memory within
`TOLERANCE_KB` of it. The users are the same five hundred over and over, so that the server, which remembers who is
offline, has no more to remember. Exits with 1 if something was left behind.
"""

import contextlib
import json
import re
import socket
import struct
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from lab import presence_server, resident_kb

PATH = "/api/v1/presence/ws"
GRACE = 0.02
"""Seconds: shorter than it takes until a user comes again, so that each cycle makes two changes."""
WARM_UP = 5_000
"""So many fill what the server remembers of the last changes and of the devices that made them: 8,192, two a cycle."""

USERS = 500
WATCHED = 20
SIDE_BY_SIDE = 50
TOLERANCE_KB = 256
"""For pages of which the allocator uses a part: 60 KB is what is usual. It is 2.6 bytes for each of 100,000 cycles; an
entry in a dict, the least that could be left of one, takes 100."""

REST = 20.0
"""Seconds within which all must have ended."""

ADDRESSES = [f"127.0.0.{number}" for number in range(1, 31)]
"""Of the client: one alone has not ports enough for a hundred thousand connections that wait out their TIME_WAIT."""

ABORT = struct.pack("ii", 1, 0)
HEAD = (
    f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


def frame(first: int, payload: bytes) -> bytes:
    """A client's frame, masked with zeros."""
    size = len(payload)
    head = bytes((first, 0x80 | size)) if size < 126 else bytes((first, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def text(**message: object) -> bytes:
    return frame(0x81, json.dumps(message).encode())


def watched(user: int, first: int) -> list[int]:
    return [(user + first + step) % USERS + 1 for step in range(WATCHED // 2)]


HELLOS = [
    text(type="hello", userId=user + 1, deviceId="d", platform="WEB", watch=watched(user, 1))
    + text(type="watch", id=2, userIds=watched(user, 100))
    for user in range(USERS)
]
ANSWERED = b'"id":2'
"""It comes with the answer to the last thing that was asked."""

# -- the ends --------------------------------------------------------------------------------------------------------


def hang_up(client: socket.socket) -> None:
    """FIN, without a close frame."""
    client.close()


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    client.close()


def bye(client: socket.socket) -> None:
    client.sendall(text(type="bye"))
    while client.recv(65_536):
        pass
    client.close()


def go_away(client: socket.socket) -> None:
    client.sendall(frame(0x88, (1001).to_bytes(2, "big")))
    while client.recv(65_536):
        pass
    client.close()


def reset_within_a_frame(client: socket.socket) -> None:
    client.sendall(text(type="ping")[:-3])
    reset(client)


def hang_up_within_a_message(client: socket.socket) -> None:
    client.sendall(frame(0x01, b'{"type":'))
    client.close()


def break_the_rules(client: socket.socket) -> None:
    client.sendall(b"\x83\x00")
    while client.recv(65_536):
        pass
    client.close()


ENDS: list[Callable[[socket.socket], None]] = [
    hang_up,
    reset,
    hang_up,
    bye,
    hang_up,
    reset_within_a_frame,
    hang_up,
    go_away,
    hang_up_within_a_message,
    reset,
    hang_up,
    break_the_rules,
]

UNGREETED = [HEAD[:60], HEAD, HEAD + HELLOS[0][:9]]
"""Every twentieth connection gets no further than one of these."""

# -- cycles ----------------------------------------------------------------------------------------------------------


def connect(port: int, number: int) -> socket.socket:
    client = socket.socket()
    client.bind((ADDRESSES[number % len(ADDRESSES)], 0))
    client.settimeout(10)
    client.connect(("127.0.0.1", port))
    return client


def cycle(port: int, numbers: range) -> None:
    """Some connections, side by side."""
    clients = [(number, connect(port, number)) for number in numbers]
    for number, client in clients:
        is_greeted = number % 20
        client.sendall(HEAD + HELLOS[number % USERS] if is_greeted else UNGREETED[number // 20 % len(UNGREETED)])
    for number, client in clients:
        heard = b""
        while number % 20 and ANSWERED not in heard:
            piece = client.recv(65_536)
            if not piece:
                raise AssertionError(f"connection {number} ended early: {heard!r}")
            heard = heard[-len(ANSWERED) :] + piece
    for number, client in clients:
        end = ENDS[number % len(ENDS)] if number % 20 else (hang_up, reset)[number // 20 % 2]
        with contextlib.suppress(ConnectionError):
            end(client)


def cycles(port: int, first: int, last: int) -> None:
    for start in range(first, last, SIDE_BY_SIDE):
        cycle(port, range(start, min(start + SIDE_BY_SIDE, last)))


# -- what is left ----------------------------------------------------------------------------------------------------

Levels = dict[str, float]

MESSAGES = "presence_websocket_messages_total"


MEASURED = r'process_|presence_peak_today|presence_limit_used\{limit="max_memory"\}'
"""Gauges of the process, which are measured by themselves, and those that tell of the day and not of now."""


def scrape(port: int) -> tuple[Levels, Levels]:
    """The gauges of /metrics, but for those that are measured; and its counters."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/metrics") as page:
        lines = page.read().decode().splitlines()
    kinds = {line.split()[2]: line.split()[3] for line in lines if line.startswith("# TYPE")}
    values = {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}
    gauges = {name: value for name, value in values.items() if kinds.get(name.partition("{")[0]) == "gauge"}
    gauges = {name: value for name, value in gauges.items() if not re.match(MEASURED, name)}
    return gauges, {name: value for name, value in values.items() if kinds.get(name.partition("{")[0]) == "counter"}


def levels(port: int, pid: int) -> Levels:
    return {"open files": len(list(Path(f"/proc/{pid}/fd").iterdir()))} | scrape(port)[0]


def wait_levels(port: int, pid: int, wanted: Callable[[Levels], bool]) -> Levels:
    """The levels once they are as wanted, or as they are when time is up."""
    give_up = time.monotonic() + REST
    while not wanted(found := levels(port, pid)) and time.monotonic() < give_up:
        time.sleep(0.2)
    return found


IN_USE = ("websocket_connections", "websocket_sessions", "held_changes", "devices", "watches")


def is_idle(found: Levels) -> bool:
    return not any(found[f"presence_{name}"] for name in IN_USE)


def measure(port: int, pid: int, count: int) -> bool:
    """Print what was held after the first cycles and after all; whether it is the same."""
    cycles(port, 0, WARM_UP)
    before = wait_levels(port, pid, is_idle)
    memory = [resident_kb(pid)]
    began = time.monotonic()
    step = max(1, (count - WARM_UP) // 10)
    for first in range(WARM_UP, count, step):
        cycles(port, first, min(first + step, count))
        memory.append(resident_kb(pid))
    seconds = time.monotonic() - began
    after = wait_levels(port, pid, lambda found: found == before)
    memory.append(resident_kb(pid))

    messages = scrape(port)[1][MESSAGES]
    if messages < 1.9 * count:
        raise AssertionError(f"the server handled {messages:g} messages: the cycles were none")
    print(f"{count} cycles, {(count - WARM_UP) / seconds:.0f} a second, {messages:g} messages")
    print(f"resident memory on the way, KB: {', '.join(map(str, memory[1:-1]))}")
    print(f"{'':40} {f'after {WARM_UP}':>12} {f'after {count}':>14}")
    print(f"{'resident memory, KB':40} {memory[0]:12} {memory[-1]:14}")
    for name in before:
        print(f"{name:40} {before[name]:12g} {after[name]:14g}{'' if after[name] == before[name] else '  LEFT'}")
    is_flat = memory[-1] - memory[0] <= TOLERANCE_KB
    if not is_flat:
        print(f"memory has grown by more than {TOLERANCE_KB} KB")
    return is_flat and after == before and is_idle(after)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    if count <= WARM_UP:
        print(f"at least {WARM_UP + 1} cycles: memory is compared with that after {WARM_UP}")
        return 2
    # On a busy machine hellos would be told to come back later.
    with presence_server("--grace-period", str(GRACE), "--admission-lag", "0") as (port, pid):
        return 0 if measure(port, pid, count) else 1


if __name__ == "__main__":
    sys.exit(main())
