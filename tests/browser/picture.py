"""Pictures of pages, which are committed and follow the pages.

A picture is a PNG that has the structure of its page in it, as text. It is outdated if the page has another structure
now, or if it looks different from afar. Numbers, names and times that differ from run to run are replaced first.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page

from tests.support.waiting import until

MAX_BYTES = 150_000
_STREAM = r"[hx-sse\:connect]"
# Of 255, the mean over all points of the picture, seen as small as a stamp. Other fonts make less of a difference.
MAX_DIFFERENCE = 8.0
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEYWORD = b"structure\0\0"
# Replaces what differs from run to run: ids of containers and commits, times, ports, rates and durations.
_SETTLE = r"""() => {
    const known = new Map();
    const name = text => {
        if (!known.has(text)) known.set(text, (0x5e11a7 + known.size * 0x1f3d5).toString(16).repeat(11));
        return known.get(text).slice(0, text.length);
    };
    const settle = text => text
        .replace(/\b(?=[0-9a-f]*\d)[0-9a-f]{6,64}\b/g, name)
        .replace(/\d{1,4}[-/]\d{1,2}[-/]\d{1,4},? (at )?\d{1,2}:\d{2}(:\d{2})?/g, "01/12/2026, 09:41:00")
        .replace(/\b\d{1,2}:\d{2}(:\d{2})?(\.\d+)?\b/g, "09:41:00")
        .replace(/\b127\.\d+\.\d+\.\d+\b/g, "10.0.0.7")
        .replace(/:\d{4,5}\b/g, ":8000")
        .replace(/\b\d+(\.\d+)? ?(ms|s|min|h|d)( \d+(\.\d+)? ?(ms|s|min|h|d))*(?![\w/])/g, "12 s")
        .replace(/[\d.]+\/s\b/g, "12/s")
        .replace(/\b[\d,]+ of [\d,]+ requests/g, "1 of 840 requests")
        .replace(/\bevidence [\d.]+/g, "evidence 1")
        .replace(/\b\d+ in flight/g, "2 in flight");
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    document.querySelectorAll("[aria-label]").forEach(each => { each.ariaLabel = settle(each.ariaLabel); });
    document.querySelectorAll("time").forEach(each => {
        each.removeAttribute("datetime");
        each.removeAttribute("data-since");
    });
    while (walk.nextNode()) {
        const text = walk.currentNode.nodeValue;
        if (settle(text) !== text) walk.currentNode.nodeValue = settle(text);
    }
}"""
# Draws both pictures as stamps, and compares their points.
_COMPARE = """async ([one, other]) => {
    const points = async data => {
        const image = new Image();
        image.src = "data:image/png;base64," + data;
        await image.decode();
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [64, 48];
        const context = canvas.getContext("2d");
        context.imageSmoothingQuality = "high";
        context.drawImage(image, 0, 0, 64, 48);
        return context.getImageData(0, 0, 64, 48).data;
    };
    const [a, b] = [await points(one), await points(other)];
    return a.reduce((sum, value, index) => sum + Math.abs(value - b[index]), 0) / a.length;
}"""


def take(page: Page, *without: str) -> bytes:
    """Return a picture of what a page shows, with its structure. The page cannot be used afterwards.

    Elements that differ from run to run in more than their numbers are left out: `without` has their selectors.
    """
    page.emulate_media(reduced_motion="reduce")
    for selector in (_STREAM, *without):
        page.locator(selector).evaluate_all("all => all.forEach(each => each.remove())")
    return until(lambda: _taken(page), "a page that nothing changes any more")


def _taken(page: Page) -> bytes:
    """Return a picture with its structure, or nothing if a change came meanwhile that was under way before."""
    size, body = page.viewport_size, page.locator("body")
    assert size is not None
    page.evaluate(_SETTLE)
    structure = body.aria_snapshot()
    height = min(size["height"], page.evaluate("() => document.body.offsetHeight"))
    picture = page.screenshot(clip={"x": 0, "y": 0, "width": size["width"], "height": height}, animations="disabled")
    return with_structure(picture, structure) if body.aria_snapshot() == structure else b""


def difference(page: Page, one: bytes, other: bytes) -> float:
    """Return how different two pictures look from afar, 0 if they are the same. `page` is one without a policy."""
    found: float = page.evaluate(_COMPARE, [base64.b64encode(each).decode() for each in (one, other)])
    return found


def with_structure(picture: bytes, structure: str) -> bytes:
    """Return a PNG with a structure in it."""
    found = [chunk for chunk in _chunks(picture) if not chunk[1].startswith(_KEYWORD)]
    points = zlib.decompress(b"".join(data for kind, data in found if kind == b"IDAT"))
    chunks = [
        found[0],
        (b"zTXt", _KEYWORD + zlib.compress(structure.encode(), 9)),
        # Smaller than a browser makes it.
        (b"IDAT", zlib.compress(points, 9)),
        (b"IEND", b""),
    ]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def structure_of(picture: bytes) -> str:
    """Return the structure in a PNG, empty if there is none."""
    found = next((data for kind, data in _chunks(picture) if kind == b"zTXt" and data.startswith(_KEYWORD)), None)
    return zlib.decompress(found.removeprefix(_KEYWORD)).decode() if found else ""


def stored(path: Path) -> bytes:
    """Return a committed picture, empty if there is none."""
    return path.read_bytes() if path.exists() else b""


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the data of each chunk of a PNG."""
    place = len(_SIGNATURE)
    while place < len(picture):
        (length,) = struct.unpack_from(">I", picture, place)
        yield picture[place + 4 : place + 8], picture[place + 8 : place + 8 + length]
        place += 12 + length
