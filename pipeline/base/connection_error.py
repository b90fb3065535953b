"""Why a connection failed, without the words of the HTTP client."""

from __future__ import annotations


def cause_of(error: BaseException | None) -> str:
    """Return the operating system's message at the end of the chain of exceptions."""
    found = "the connection was closed"
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            found = error.strerror
        error = error.__cause__ or error.__context__
    return found
