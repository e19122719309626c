"""Requests at a steady rate, or as many as go; each on a connection that stays open."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

CONNECTIONS = 8


@dataclass(frozen=True)
class Site:
    """Where requests go, and as whom."""

    url: str
    token: str

    def request(self, method: str, target: str) -> bytes:
        """The bytes of one request."""
        lines = (f"{method} {target} HTTP/1.1", f"Host: {urlsplit(self.url).netloc}", f"X-Auth-Token: {self.token}")
        return "\r\n".join((*lines, "Accept: application/json", "", "")).encode()


class Connection:
    """One open connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer. RuntimeError when it is not 200."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        _, _, rest = head.lower().partition(b"content-length:")
        body = await self._reader.readexactly(int(rest.partition(b"\r\n")[0]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{request.decode().splitlines()[0]} answered {head.decode()}{body.decode()}")
        return body

    def close(self) -> None:
        self._writer.close()


async def _connections(site: Site, number: int) -> list[Connection]:
    url = urlsplit(site.url)
    return [Connection(*await asyncio.open_connection(url.hostname, url.port, limit=1 << 24)) for _ in range(number)]


def ask(site: Site, method: str, target: str) -> bytes:
    """The body of one answer, which must be 200."""

    async def run() -> bytes:
        (connection,) = await _connections(site, 1)
        try:
            return await connection.ask(site.request(method, target))
        finally:
            connection.close()

    return asyncio.run(run())


def at_rate(site: Site, requests: Sequence[bytes], *, per_second: float) -> list[float]:
    """Seconds that each request took from the moment it was due, so a slow answer counts for those behind it too."""

    async def run() -> list[float]:
        free: asyncio.Queue[Connection] = asyncio.Queue()
        connections = await _connections(site, CONNECTIONS)
        for connection in connections:
            free.put_nowait(connection)
        start = time.perf_counter()

        async def one(number: int, request: bytes) -> float:
            due = start + number / per_second
            await asyncio.sleep(due - time.perf_counter())
            connection = await free.get()
            await connection.ask(request)
            free.put_nowait(connection)
            return time.perf_counter() - due

        try:
            return await asyncio.gather(*(one(number, request) for number, request in enumerate(requests)))
        finally:
            for connection in connections:
                connection.close()

    return asyncio.run(run())


def flat_out(site: Site, requests: Iterable[bytes], *, seconds: float) -> float:
    """Requests answered per second when each connection asks again as soon as it has an answer."""

    async def run() -> float:
        connections = await _connections(site, CONNECTIONS)
        wanted = iter(requests)
        end = time.perf_counter() + seconds

        async def one(connection: Connection) -> int:
            done = 0
            while time.perf_counter() < end:
                await connection.ask(next(wanted))
                done += 1
            return done

        start = time.perf_counter()
        try:
            done = sum(await asyncio.gather(*map(one, connections)))
            return done / (time.perf_counter() - start)
        finally:
            for connection in connections:
                connection.close()

    return asyncio.run(run())
