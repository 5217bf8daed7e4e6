"""A server behind TLS, as a proxy in front of it makes one: certificates for `localhost`, made in memory."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trustme


class Authority:
    """A certificate authority that nobody knows. `file`: its certificate, for whoever is to trust it."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder, self._pairs = folder, 0
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server for these names needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*(names or ("localhost",))).configure_cert(context)
        return context

    def files(self, folder: Path) -> Path:
        """A file with a key and certificates for `localhost`, as proxies take it."""
        made = self._ca.issue_cert("localhost", "127.0.0.1")
        file = folder / "server.pem"
        made.private_key_and_cert_chain_pem.write_to_path(file)
        return file

    def pair(self, *names: str) -> tuple[Path, Path]:
        """Files of a new certificate for these names and of its key, as `--tls-cert` and `--tls-key` take them."""
        issued = self._ca.issue_cert(*names)
        self._pairs += 1
        certificate, key = (self._folder / f"{kind}-{self._pairs}.pem" for kind in ("certificate", "key"))
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(certificate, append=number > 0)
        issued.private_key_pem.write_to_path(key)
        return certificate, key

    def client(self) -> ssl.SSLContext:
        """What a client that trusts this authority alone needs."""
        return ssl.create_default_context(cafile=self.file)


@asynccontextmanager
async def tls_before(port: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """TLS before the plain server at `port`. Yields the port to connect to."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(copy(reader, behind[1]), copy(behind[0], writer))
        finally:
            for each in (writer, behind[1]):
                each.transport.abort()

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    listener = await asyncio.start_server(carry, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
