"""What an import tells the user: mistakes of the Compose file, and notes on what is left out or assumed."""

from __future__ import annotations

from collections import defaultdict

from pipeline.base.errors import ConfigError, Problem
from pipeline.compose.places import Place

_MAX_NAMES = 4


class Report:
    """Collects mistakes and notes. A note is kept once, in the order in which they were found."""

    def __init__(self) -> None:
        self._problems: dict[str, list[Problem]] = defaultdict(list)
        self._notes: dict[tuple[str, str], list[tuple[Place, str]]] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """All notes, a line each. Keys that are left out for the same reason share a line."""
        return tuple(_line(text, places) for (text, _), places in self._notes.items())

    def mistake(self, place: Place, path: str, reason: str, hint: str = "") -> None:
        """Add a mistake at a place."""
        problem = Problem(place.line, place.column, path, reason, hint)
        if problem not in self._problems[place.file]:
            self._problems[place.file].append(problem)

    def note(self, text: str) -> None:
        """Add a note."""
        self._notes.setdefault((" ".join(text.split()), ""), [])

    def left_out(self, place: Place, path: str, reason: str) -> None:
        """Add a note that a key is left out, and why."""
        found = self._notes.setdefault((" ".join(reason.split()), path.rpartition(".")[2].partition("[")[0]), [])
        if (place, path) not in found:
            found.append((place, path))

    def check(self) -> None:
        """Raise `ConfigError` if there is any mistake."""
        found = {file: tuple(sorted(problems)) for file, problems in self._problems.items() if problems}
        if len(found) == 1:
            ((file, problems),) = found.items()
            raise ConfigError(source=file, problems=problems)
        if found:
            raise ConfigError("\n".join(each.render(file) for file, each_of in found.items() for each in each_of))


def _line(text: str, places: list[tuple[Place, str]]) -> str:
    if not places:
        return text
    names = [path for _, path in places]
    if len(names) > _MAX_NAMES:
        names = [*names[: _MAX_NAMES - 1], f"{len(names) - _MAX_NAMES + 1} more"]
    what = f"{names[0]} is" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} are"
    return f"{places[0][0]}: {what} left out: {text}"
