"""A small web application to deploy.

/          returns the version and the host     /slow?ms=300   responds after 300 ms
/healthz   returns 200, or 500 if it is broken  /fail          returns 500
/echo      returns the body of a POST
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from asyncio import StreamReader, StreamWriter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

VERSION = (Path(__file__).parent / "version.txt").read_text().strip()
HOST = socket.gethostname()
REASONS = {200: "OK", 404: "Not Found", 500: "Internal Server Error"}


async def answer(method: str, target: str, body: bytes) -> tuple[int, bytes]:
    """Return the status and the body for a request."""
    url = urlsplit(target)
    if url.path == "/":
        return 200, f"sample-app {VERSION} on {HOST}\n".encode()
    if url.path == "/healthz":
        return (500, b"broken\n") if "broken" in VERSION or os.environ.get("HEALTHY") == "false" else (200, b"ok\n")
    if url.path == "/echo" and method == "POST":
        return 200, body
    if url.path == "/slow":
        await asyncio.sleep(float(parse_qs(url.query).get("ms", ["300"])[0]) / 1000)
        return 200, b"at last\n"
    return (500, b"as you wish\n") if url.path == "/fail" else (404, b"not here\n")


class Server:
    """An HTTP/1.1 server. After `stop` it finishes the requests in flight."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.answering = 0

    async def run(self, port: int) -> None:
        """Listen on `port` until `stop`."""
        server = await asyncio.start_server(self.connection, "0.0.0.0", port, backlog=1024)
        print(f"sample-app {VERSION} listens on {port}")
        await self.stopping.wait()
        server.close()
        while self.answering:
            await asyncio.sleep(0.01)
        print("sample-app stopped")

    def stop(self) -> None:
        """Stop accepting connections. SIGTERM calls this."""
        self.stopping.set()

    async def connection(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Serve the requests of one client."""
        try:
            while line := await reader.readline():
                self.answering += 1
                try:
                    keeps_alive = await self.request(line, reader, writer)
                finally:
                    self.answering -= 1
                if not keeps_alive:
                    break
        except (OSError, ValueError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def request(self, line: bytes, reader: StreamReader, writer: StreamWriter) -> bool:
        """Read the rest of one request and respond. Return False if the connection ends with it."""
        method, target, protocol = line.decode("latin-1").split()
        headers = {}
        while (header := await reader.readline()) not in (b"\r\n", b"\n", b""):
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        status, content = await answer(method, target, body)
        closes = headers.get("connection", "").lower() == "close" or protocol != "HTTP/1.1" or self.stopping.is_set()
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: {len(content)}\r\nContent-Type: text/plain\r\n"
            f"X-App-Version: {VERSION}\r\nConnection: {'close' if closes else 'keep-alive'}\r\n\r\n"
        )
        writer.write(head.encode() + (b"" if method == "HEAD" else content))
        await writer.drain()
        return not closes


async def main() -> None:
    """Serve on $PORT, 8080 by default."""
    server = Server()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.run(int(os.environ.get("PORT", "8080")))


if __name__ == "__main__":
    asyncio.run(main())
