"""A file that a page links to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.web.reports import WebReports


@dataclass(frozen=True)
class OpenFile:
    """A file as it is sent. All `chunks` have to be read."""

    chunks: Iterator[bytes]
    headers: Mapping[str, str]
    media_type: str = "application/octet-stream"


@dataclass(frozen=True)
class Download:
    """A GET request for a file, which needs the role look. A page module names its downloads in `DOWNLOADS`.

    `open` runs in a thread. It gets the arguments of the path, in which `raw` is the path as the browser has sent it:
    a name may have bytes that are no UTF-8. It raises `PageMissing` for what does not exist.
    """

    path: str
    open: Callable[[WebReports, Mapping[str, str]], OpenFile]
