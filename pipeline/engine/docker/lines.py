"""Lines of a stream of bytes. Long lines come in pieces, so that they take no more memory than a piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_MAX_LINE_BYTES = 64 * 1024


def lines_of(chunks: Iterator[bytes]) -> Iterator[str]:
    """Yield whole lines, and long lines in pieces. The last line may have no line break."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield from (piece.decode(errors="replace") for piece in _pieces(line))
        *pieces, rest = _pieces(rest)
        yield from (piece.decode(errors="replace") for piece in pieces)
    if rest:
        yield rest.decode(errors="replace")


def missing_lines(passed: Sequence[str], written: Sequence[str]) -> Sequence[str]:
    """Return the last lines of a log that a stream of it has not passed on, from the last lines of both.

    Returns nothing if they have none in common. The first line of a log's end may be only the rest of a line.
    """
    if not passed:
        return written
    for end in range(len(written), 0, -1):
        before = passed[-end:]
        if len(before) == end and before[0].endswith(written[0]) and list(before[1:]) == list(written[1:end]):
            return written[end:]
    return ()


def _pieces(line: bytes) -> Iterator[bytes]:
    """Yield pieces of a line of at most the maximum length, split between UTF-8 characters."""
    while len(line) > _MAX_LINE_BYTES:
        end = next(
            (end for end in range(_MAX_LINE_BYTES, _MAX_LINE_BYTES - 4, -1) if line[end] & 0xC0 != 0x80),
            _MAX_LINE_BYTES,
        )
        yield line[:end]
        line = line[end:]
    yield line
