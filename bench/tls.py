"""CPU time of TLS requests on kept connections, of resumed and of full handshakes, for Penstock and other proxies."""

from __future__ import annotations

import tempfile
from pathlib import Path

import trustme

from bench.comparison import compared, figures, lacking, rows
from bench.extent import Extent
from bench.figure import Figure
from bench.handshakes import full_handshakes, resumed_handshakes
from bench.proxy import FULL, QUICK, Load, requests, take_turns
from bench.results import Results

_CASES: tuple[tuple[str, Load, float], ...] = (
    ("kept connection", requests, 1.15),
    ("resumed handshake", resumed_handshakes, 1.05),
    ("full handshake", full_handshakes, 1.0),
)


def measure(extent: Extent) -> Results:
    """Measure each kind of connection, relative to nginx."""
    rounds = extent.choose(FULL, QUICK)
    table: list[tuple[str, ...]] = []
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        certificate = Path(folder) / "certificate.pem"
        trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        with compared(certificate) as proxies:
            others = lacking(proxies)
            for name, load, limit in _CASES:
                costs = take_turns(proxies, rounds, load)
                table += rows(name, proxies, costs)
                found += figures(name, costs, {"nginx": limit})
    return Results.judged(
        "TLS",
        f"{rounds} The "
        "certificate is P-256. Each proxy chooses version, suite and curve among TLS 1.2 and 1.3; that is TLS 1.3. "
        "wrk uses 32 kept connections. A handshake is measured with its one request, by a client that checks "
        f"that the session was resumed, or was not. {others}",
        ("what", "proxy", "CPU each", "Penstock relative to it", "highest rate"),
        table,
        found,
    )
