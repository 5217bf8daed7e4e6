"""What an idle connection costs: resident memory of the server, with and without watched users.

Run as `python bench/idle.py [connections] [watched] [on]`; `on` has every connection agree on compression. The load
generator is this process; the server is another, started by its console script. Bytes of the kernel's socket buffers
are not part of a process's resident memory.
"""

import asyncio
import base64
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

PATH = "/api/v1/presence/ws"
BATCH = 100

readers: list[asyncio.Future[None]] = []


def resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise KeyError("VmRSS")


def client_frame(payload: bytes) -> bytes:
    mask = b"\0\0\0\0"  # masking with zeros leaves the payload as it is
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0xFE)) + size.to_bytes(2, "big")
    return head + mask + payload


async def connect(port: int, number: int, watched: int, users: int, extension: str) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{extension}\r\n".encode()
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    assert (b"permessage-deflate" in answer) is bool(extension)
    hello = {"type": "hello", "userId": number, "deviceId": f"device-{number:029d}", "platform": "WEB"}
    if watched:
        hello["watch"] = random.Random(number).sample(range(1, users + 1), watched)
    writer.write(client_frame(json.dumps(hello).encode()))
    await reader.readuntil(b'"welcome"')
    readers.append(asyncio.ensure_future(discard(reader)))
    return writer


async def discard(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_ready(port: int) -> None:
    """Until the server on `port` welcomes connections, for ten seconds at most."""
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").read()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server did not come up")


async def measure(connections: int, watched: int, compression: str) -> float:
    port = free_port()
    command = [Path(sys.executable).parent / "presence-server", "--port", str(port), "--compression", compression]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if compression == "on" else ""
    writers: list[asyncio.StreamWriter] = []
    try:
        wait_ready(port)
        for number in range(1, 101):  # what the first connections bring in is not theirs
            writers.append(await connect(port, connections + number, watched, connections, extension))
        before = resident_kb(server.pid)
        for first in range(1, connections + 1, BATCH):
            wanted = range(first, min(first + BATCH, connections + 1))
            writers += await asyncio.gather(
                *(connect(port, number, watched, connections, extension) for number in wanted)
            )
        await asyncio.sleep(2)
        after = resident_kb(server.pid)
        return (after - before) / connections
    finally:
        server.kill()
        server.wait()
        for writer in writers:
            writer.transport.abort()


def main() -> None:
    connections = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    watched = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    compression = sys.argv[3] if len(sys.argv) > 3 else "off"
    for count in (0, watched):
        cost = asyncio.run(measure(connections, count, compression))
        print(f"{connections} idle connections, {count} watched users each: {cost:.2f} KB of resident memory each")


if __name__ == "__main__":
    main()
