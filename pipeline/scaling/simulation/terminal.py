"""Charts of a simulation for the terminal, from block characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pipeline.scaling.simulation.model import SimulationResult

_BLOCKS = " ▁▂▃▄▅▆▇█"
_HEIGHT = 6
_AXIS = 9


def charts(result: SimulationResult, width: int) -> str:
    """Return charts of load, replicas and p99 over time, at most `width` characters wide."""
    periods = result.periods
    columns = max(10, width - _AXIS)
    minutes = result.period_seconds / 60
    load = [period.requests / result.period_seconds for period in periods]
    late = [(period.p99 or 0.0) * 1000 for period in periods]
    parts = [
        _chart("load, requests per second", load, columns, str_number),
        _chart("replicas", [float(period.replicas) for period in periods], columns, str_number),
        _chart("p99 of the response time, ms", late, columns, str_number),
        [_time_axis(len(periods) * minutes, min(columns, len(periods)))],
    ]
    return "\n".join(line for part in parts for line in part)


def str_number(value: float) -> str:
    """Return a number with three digits at least, and without needless ones."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _chart(title: str, values: Sequence[float], columns: int, number: Callable[[float], str]) -> Iterator[str]:
    shown = [max(part) for part in _parts(values, columns)]
    top = max(shown) or 1.0
    eighths = [round(value / top * _HEIGHT * 8) for value in shown]
    yield title
    for row in range(_HEIGHT - 1, -1, -1):
        label = number(top) if row == _HEIGHT - 1 else "0" if row == 0 else ""
        yield f"{label:>{_AXIS - 2}} ┤" + "".join(_BLOCKS[min(8, max(0, high - 8 * row))] for high in eighths).rstrip()


def _parts(values: Sequence[float], columns: int) -> Iterator[Sequence[float]]:
    """Divide the values into as many parts as there are columns. A column shows the largest of its part."""
    count = min(columns, len(values))
    for column in range(count):
        yield values[column * len(values) // count : (column + 1) * len(values) // count]


def _time_axis(minutes: float, columns: int) -> str:
    end = f"{minutes / 60:.3g} h" if minutes >= 60 else f"{minutes:.3g} min"
    return " " * _AXIS + "0" + end.rjust(max(len(end) + 1, columns - 1))
