"""How the process of a container starts and stops: its user, its working folder and its stop signal."""

from __future__ import annotations

import posixpath
import re
import signal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from pipeline.base.suggestion import nearest

_USER = re.compile(r"[^\s:\0]+(:[^\s:\0]+)?")
# Linux has no user id that is larger.
_MAX_ID = 2**31 - 1
_REAL_TIME = re.compile(r"SIGRTM(IN(\+([1-9]|[12]\d|30))?|AX(-([1-9]|[12]\d|30))?)")
_SIGNALS = frozenset(each.name for each in signal.Signals)
_MAX_SIGNAL = 64


def _as_text(value: Any) -> Any:
    """Return a number of YAML as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError(f"{value!r} is not a valid user; write a name or an id, with a group as in 1000:1000")
    if wrong := next((part for part in value.split(":") if part.lstrip("-").isdigit() and not _is_id(part)), None):
        raise ValueError(f"{value!r} is not a valid user: {wrong} must be 0 to {_MAX_ID}")
    return value


def _is_id(text: str) -> bool:
    return text.isdigit() and int(text) <= _MAX_ID


def _working_dir(value: str) -> str:
    if not value.startswith("/") or "\0" in value:
        raise ValueError(f"must be an absolute path in the container, such as /srv/app, got {value!r}")
    return posixpath.normpath("/" + value.lstrip("/"))


def _stop_signal(value: str) -> str:
    if value.isdigit():
        if not 1 <= int(value) <= _MAX_SIGNAL:
            raise ValueError(f"must be a signal from 1 to {_MAX_SIGNAL}, got {value}")
        return value
    name = f"SIG{value.upper().removeprefix('SIG')}"
    if name in _SIGNALS or _REAL_TIME.fullmatch(name):
        return name
    near = nearest(name, _SIGNALS)
    raise ValueError(f"{value!r} is not a signal; write {near or 'a name such as SIGQUIT'}")


_NAME_OR_NUMBER = WithJsonSchema({"type": ["string", "integer"]})
User = Annotated[str, BeforeValidator(_as_text), AfterValidator(_user), _NAME_OR_NUMBER]
WorkingDir = Annotated[str, AfterValidator(_working_dir)]
StopSignal = Annotated[str, BeforeValidator(_as_text), AfterValidator(_stop_signal), _NAME_OR_NUMBER]
