"""Pictures of pages, which are committed and follow the pages.

A picture is a PNG that shows a page as it is, and has the structure of the page in it, as text. It is outdated if the
page has another structure now, or if it looks different from afar. Numbers, names and times that differ from run to run
are masked in the structure only.
"""

from __future__ import annotations

import base64
import re
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
# What differs from run to run: ids of containers and commits, addresses, times, rates and durations.
_DIFFERING = (
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{6,64}\b|(?<=\.r\d\.)[0-9a-f]{6}\b"), "ID"),
    (re.compile(r"\d[\d,.:/]*(?<=\d)"), "0"),
    # A duration of a minute has one unit, and one of 61 seconds two.
    (re.compile(r"\b0 ?(ms|s|min|h|d)( 0 ?(ms|s|min|h|d))*\b"), "0 s"),
)
# Down to the end of the page, without its footer.
_HEIGHT = '() => document.querySelector("body > footer").offsetTop'
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


def take(page: Page, *changing: str) -> bytes:
    """Return a picture of what a page shows, with its structure. The page cannot be used afterwards.

    `changing` has selectors of elements that differ from run to run in more than their numbers. The picture shows them,
    and the structure leaves them out.
    """
    page.emulate_media(reduced_motion="reduce")
    _remove(page, _STREAM)
    picture = until(lambda: _taken(page), "a page that nothing changes any more")
    _remove(page, *changing)
    return with_structure(picture, masked(page.locator("body").aria_snapshot()))


def masked(structure: str) -> str:
    """Return a structure without what differs from run to run."""
    # An id of digits is quoted, another one is not.
    structure = structure.replace('"', "")
    for pattern, replacement in _DIFFERING:
        structure = pattern.sub(replacement, structure)
    return structure


def _remove(page: Page, *selectors: str) -> None:
    for selector in selectors:
        page.locator(selector).evaluate_all("all => all.forEach(each => each.remove())")


def _taken(page: Page) -> bytes:
    """Return a picture, or nothing if a change came meanwhile that was under way before."""
    size, body = page.viewport_size, page.locator("body")
    assert size is not None
    structure = masked(body.aria_snapshot())
    height = min(size["height"], page.evaluate(_HEIGHT))
    picture = page.screenshot(clip={"x": 0, "y": 0, "width": size["width"], "height": height}, animations="disabled")
    return picture if masked(body.aria_snapshot()) == structure else b""


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
