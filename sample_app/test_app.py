"""Tests of the application. They run in its image before it is deployed."""

from __future__ import annotations

import asyncio
import unittest

from app import VERSION, Server


class AppTest(unittest.IsolatedAsyncioTestCase):
    """Requests to a real server on a free port, over one connection."""

    async def asyncSetUp(self) -> None:
        self.server = await asyncio.start_server(Server().connection, "127.0.0.1", 0)
        self.reader, self.writer = await asyncio.open_connection(*self.server.sockets[0].getsockname())

    async def asyncTearDown(self) -> None:
        self.writer.close()
        self.server.close()

    async def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        self.writer.write(f"{method} {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0])
        return int(head.split()[1]), await self.reader.readexactly(length)

    async def test_returns_its_version(self) -> None:
        status, body = await self.ask("GET", "/")
        self.assertEqual(status, 200)
        self.assertIn(f"sample-app {VERSION}".encode(), body)

    async def test_echoes(self) -> None:
        self.assertEqual(await self.ask("POST", "/echo", b"hello"), (200, b"hello"))

    async def test_keeps_the_connection(self) -> None:
        expected = 500 if "broken" in VERSION else 200
        self.assertEqual([(await self.ask("GET", "/healthz"))[0] for _ in range(3)], [expected] * 3)

    async def test_unknown_path(self) -> None:
        self.assertEqual((await self.ask("GET", "/nothing"))[0], 404)

    async def test_returns_500_on_fail(self) -> None:
        self.assertEqual((await self.ask("GET", "/fail"))[0], 500)


if __name__ == "__main__":
    unittest.main()
