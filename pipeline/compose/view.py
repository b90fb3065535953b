"""Typed access to the keys of a Compose file. A wrong type is a mistake in the report."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pipeline.base.quantity import parse_size
from pipeline.compose.places import Map, Place, Seq, kind
from pipeline.compose.report import Report
from pipeline.compose.variables import Variables

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_MAX_SECONDS = 10.0**8


def as_text(value: Any) -> str:
    """Return a scalar as Compose writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.10f}".rstrip("0").rstrip(".")
    return str(value)


def is_scalar(value: Any) -> bool:
    """Return whether a value is text, a number or a boolean."""
    return isinstance(value, str | int | float)


def variables_hint(text: str) -> str:
    """Return how to set the variables of a text, if it has any."""
    return "it has variables: set them in .env, or name another file with --env-file" if "$" in text else ""


class View:
    """A mapping of a Compose file. `path` is where it is, such as `services.web`."""

    def __init__(self, data: Map, path: str, report: Report, variables: Variables) -> None:
        self.data = data
        self.path = path
        self.report = report
        self.variables = variables

    def __contains__(self, key: str) -> bool:
        return self.data.get(key) is not None

    def where(self, key: str) -> str:
        """Return the path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def place(self, key: str) -> Place:
        """Return the place of a key."""
        return self.data.places.get(key, self.data.place)

    def mistake(self, key: str, reason: str, hint: str = "") -> None:
        """Report a mistake of a key."""
        self.report.mistake(self.place(key), self.where(key), reason, hint or self.hint(key))

    def hint(self, key: str) -> str:
        """Return how to set the variables of a key, if it has any."""
        value = self.data.get(key)
        return variables_hint(value) if isinstance(value, str) else ""

    def left_out(self, key: str, reason: str) -> None:
        """Note that a key is left out, and why."""
        self.report.left_out(self.place(key), self.where(key), reason)

    def text(self, key: str) -> str | None:
        """Return a text with the values of its variables. Numbers and booleans count as text."""
        value = self.data.get(key)
        if value is None:
            return None
        if not is_scalar(value):
            self.mistake(key, f"must be text, got {kind(value)}")
            return None
        return self.variables.resolve(as_text(value), self.place(key), self.where(key))

    def reference(self, key: str, *, secrets: bool = False) -> str | None:
        """Return a text for pipeline.yaml, with references instead of variables."""
        value = self.data.get(key)
        if not is_scalar(value):
            return self.text(key)
        return self.variables.refer(as_text(value), self.place(key), self.where(key), secrets=secrets)

    def boolean(self, key: str) -> bool | None:
        """Return true or false. Text such as `yes` counts."""
        text = self.text(key)
        if not text:
            return None
        if text.lower() in ("true", "yes", "y", "on", "1"):
            return True
        if text.lower() not in ("false", "no", "n", "off", "0"):
            self.mistake(key, f"must be true or false, got {text!r}")
        return False

    def number(self, key: str) -> float | None:
        """Return a number that is not negative."""
        text = self.text(key)
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not math.isfinite(number) or number < 0:
            self.mistake(key, f"must be a number, got {text!r}")
            return None
        return number

    def whole(self, key: str) -> int | None:
        """Return a whole number, also a negative one."""
        text = self.text(key)
        if not text:
            return None
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            self.mistake(key, f"must be a whole number, got {text!r}")
            return None
        return int(text)

    def size(self, key: str) -> str | None:
        """Return a size as it is written, such as `512m`."""
        text = self.text(key)
        if not text:
            return None
        try:
            parse_size(text)
        except ValueError:
            self.mistake(key, f"must be a size such as 512m, got {text!r}")
            return None
        return text

    def duration(self, key: str) -> timedelta | None:
        """Return a duration such as `1m30s`, in whole milliseconds."""
        text = self.text(key)
        if not text:
            return None
        parts = _DURATION.findall(text)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        if text == "0":
            return timedelta(0)
        if not parts or "".join(number + unit for number, unit in parts) != text or seconds > _MAX_SECONDS:
            self.mistake(key, f"must be a duration such as 1m30s, got {text!r}")
            return None
        return timedelta(milliseconds=round(seconds * 1000))

    def view(self, key: str) -> View | None:
        """Return the mapping of a key."""
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, Map):
            self.mistake(key, f"must be a mapping, got {kind(value)}")
            return None
        return View(value, self.where(key), self.report, self.variables)

    def items(self, key: str) -> list[Any]:
        """Return the values of a list. A single text counts as a list of one."""
        value = self.data.get(key)
        if value is None:
            return []
        if isinstance(value, str):
            return [value]
        if not isinstance(value, Seq):
            self.mistake(key, f"must be a list, got {kind(value)}")
            return []
        return list(value)

    def texts(self, key: str) -> list[str]:
        """Return a list of texts with the values of their variables."""
        return [self.variables.resolve(text, self.place(key), self.where(key)) for text in self._texts(key)]

    def words(self, key: str) -> list[str] | None:
        """Return a command as it is written, with its variables. A text is split by the rules of a shell."""
        value = self.data.get(key)
        if value is None:
            return None
        if isinstance(value, Seq):
            return self._texts(key)
        if not is_scalar(value):
            self.mistake(key, f"must be text or a list, got {kind(value)}")
            return None
        try:
            return shlex.split(as_text(value))
        except ValueError as error:
            self.mistake(key, f"cannot be split into words: {str(error).lower()}")
            return None

    def pairs(self, key: str) -> Iterator[tuple[str, Any, Place]]:
        """Yield the names and values of a mapping, or of a list of NAME=value. A name alone has the value None."""
        value = self.data.get(key)
        if isinstance(value, Map):
            for name, item, place in value.entries():
                if item is None or is_scalar(item):
                    yield name, None if item is None else as_text(item), place
                else:
                    self.report.mistake(place, f"{self.where(key)}.{name}", f"must be text, got {kind(item)}")
        elif isinstance(value, Seq):
            for item, place in value.entries():
                if is_scalar(item):
                    name, found, text = as_text(item).partition("=")
                    yield name, text if found else None, place
                else:
                    self.report.mistake(place, self.where(key), f"must be NAME=value, got {kind(item)}")
        elif value is not None:
            self.mistake(key, f"must be a mapping or a list of NAME=value, got {kind(value)}")

    def _texts(self, key: str) -> list[str]:
        found: list[str] = []
        for index, item in enumerate(self.items(key)):
            if is_scalar(item):
                found.append(as_text(item))
            elif item is not None:
                self.mistake(key, f"[{index}] must be text, got {kind(item)}")
        return found
