"""Send requests, each on a connection of its own, and count which answers come.

Several URLs take turns, as the addresses of a load balancer do if a client asks DNS for them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from table import render

FIELDS = ("url", "service", "target", "path", "user_agent", "packet_source", "x_forwarded_for", "proxy_protocol")
AT_A_TIME = 16
TIMEOUT = 10.0


async def ask(url: str, headers: Sequence[str], fields: Sequence[str]) -> tuple[str, ...]:
    """Return the fields of one answer, or the reason why there is none in the first field."""
    try:
        async with asyncio.timeout(TIMEOUT):
            status, body = await exchange(url, headers)
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        return (str(error) or type(error).__name__, *["-"] * (len(fields) - 1))
    if status != "200":
        return (f"HTTP {status}", *["-"] * (len(fields) - 1))
    answer = {"url": url, **json.loads(body)}
    return tuple(str(answer[field] or "-") for field in fields)


async def exchange(url: str, headers: Sequence[str]) -> tuple[str, bytes]:
    """Send a GET on a new connection, and return the status and the body."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port or 80)
    try:
        lines = [f"GET {place.path or '/'} HTTP/1.1", f"Host: {place.netloc}", "Connection: close", *headers]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = await reader.readuntil(b"\r\n\r\n")
        return head.split()[1].decode(), await reader.read()
    finally:
        writer.close()


async def count(
    urls: Sequence[str], requests: int, headers: Sequence[str], fields: Sequence[str]
) -> Counter[tuple[str, ...]]:
    """Send the requests, a few at a time, and count the answers."""
    counted: Counter[tuple[str, ...]] = Counter()
    remaining = iter(range(requests))

    async def work() -> None:
        for number in remaining:
            counted[await ask(urls[number % len(urls)], headers, fields)] += 1

    await asyncio.gather(*(work() for _ in range(AT_A_TIME)))
    return counted


def main() -> None:
    """Print a table of the answers."""
    parser = argparse.ArgumentParser(prog="client", description=__doc__)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("-n", type=int, default=1, metavar="REQUESTS", help="how many in all, by default 1")
    parser.add_argument("-H", action="append", default=[], metavar="HEADER", help="such as 'User-Agent: iPhone'")
    parser.add_argument(
        "--by",
        default="service,target",
        metavar="FIELD,...",
        help=f"fields of the answers to count by: {', '.join(FIELDS)}",
    )
    given = parser.parse_args()
    fields = given.by.split(",")
    if unknown := set(fields) - set(FIELDS):
        parser.error(f"--by: there is no field {', '.join(sorted(unknown))}, only {', '.join(FIELDS)}")
    counted = asyncio.run(count(given.urls, given.n, given.H, fields))
    rows = [(*key, str(n), f"{100 * n / given.n:.2f} %") for key, n in sorted(counted.items())]
    print(render([*(field.upper() for field in fields), "REQUESTS", "SHARE"], rows))


if __name__ == "__main__":
    main()
