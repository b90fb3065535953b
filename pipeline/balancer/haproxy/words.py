"""Text as HAProxy's configuration takes it: words, patterns, and the names of sections and sockets."""

from __future__ import annotations

import re

from pipeline.balancer.model.application.wildcard import Wild, Wildcard

WORKER_SOCKET = "worker.sock"
MASTER_SOCKET = "master.sock"
# Who holds HAProxy's listening sockets answers here.
HOLDER_SOCKET = "holder.sock"
LOG_DESCRIPTOR = 3
_OPEN = ".open"
# How long browsers keep the cookies of a load balancer, in seconds. How long one counts stands in it.
COOKIE_AGE = 7 * 86400
# Where functions are invoked, and how HAProxy says there which one it has chosen. It sets both headers, whatever a
# client sent. The third is a check's that only wants to know whether a function can be reached.
FUNCTION_SOCKET = "functions.sock"
FUNCTION_GROUP = "X-Penstock-Group"
FUNCTION_TARGET = "X-Penstock-Target"
FUNCTION_CHECK = "X-Penstock-Check"


def quote(text: str) -> str:
    """A word that HAProxy takes literally: within single quotes nothing is special but the quote itself."""
    return "'" + text.replace("'", "'\\''") + "'"


def regsub(regex: str, replacement: str) -> str:
    """The converter that replaces the first match of an expression, for within a quoted word."""
    return f"regsub({_argument(regex)},{_argument(replacement)})"


def _argument(text: str) -> str:
    """A text as an argument of a converter, which has quotes of its own."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def backend_name(owner: str, group: str) -> str:
    """The backend that carries a target group. Names hold no dot, so this is unique."""
    return f"{owner}.{group}"


def fail_open_backend_name(owner: str, group: str) -> str:
    """The backend that takes over when too few targets of a group are healthy."""
    return open_backend_of(backend_name(owner, group))


def open_backend_of(backend: str) -> str:
    """The same for a backend."""
    return f"{backend}{_OPEN}"


def group_of(backend: str) -> str:
    """The target group of one of its two backends. No name in it holds a dot."""
    return backend.removesuffix(_OPEN) if backend.count(".") == 2 else backend


def expression(pattern: Wildcard, *, one: str = ".") -> str:
    """A wildcard pattern as a regular expression, without anchors. `one` is what a `?` stands for, and `*` many of.

    What stands between two `*` is looked for once, where it comes first, and never again: going back would be of no
    use, and costs so much that HAProxy gives up on a long text and takes it for no match.
    """
    segments = [""]
    for part in pattern.parts:
        if part is Wild.ANY:
            segments.append("")
        else:
            segments[-1] += re.escape(part) if isinstance(part, str) else one
    first, *middle = segments
    if not middle:
        return first
    return first + "".join(f"(?>{one}*?{segment})" for segment in middle[:-1] if segment) + f"{one}*{middle[-1]}"
