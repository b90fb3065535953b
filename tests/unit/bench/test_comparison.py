"""Penstock is compared with the proxies that are there."""

from __future__ import annotations

from bench.comparison import figures, lacking, rows
from bench.proxy import Costs, Proxy

PROXIES = [Proxy("Penstock", 1, 1), Proxy("nginx", 2, 2, lacks="trace id, health checks"), Proxy("Caddy", 3, 3)]
COSTS = {
    "Penstock": Costs([20.0, 44.0, 24.0], [100.0, 50.0, 90.0]),
    "nginx": Costs([16.0, 40.0, 20.0], [200.0, 80.0, 150.0]),
    "Caddy": Costs([80.0, 176.0, 96.0], [20.0, 10.0, 15.0]),
}


def test_a_missing_proxy_has_no_figure() -> None:
    """A limit that concerns a program that is not installed is left out, and the others stay."""
    found = figures("kept", COSTS, {"nginx": 1.1, "Traefik": 0.3, "Caddy": 0.3})
    assert [(figure.name, round(figure.value, 2), figure.met) for figure in found] == [
        ("kept: times nginx", 1.2, False),
        ("kept: times Caddy", 0.25, True),
    ]


def test_rows() -> None:
    """Each proxy has its median, and the cost of Penstock relative to it."""
    assert rows("kept", PROXIES, COSTS) == [
        ("kept", "Penstock", "24.0 µs", "1.00", "90/s"),
        ("kept", "nginx", "20.0 µs", "1.20", "150/s"),
        ("kept", "Caddy", "96.0 µs", "0.25", "15/s"),
    ]


def test_what_others_do_not_do() -> None:
    """The table says what is left out by whom."""
    assert lacking(PROXIES) == "Not done by nginx: trace id, health checks."
