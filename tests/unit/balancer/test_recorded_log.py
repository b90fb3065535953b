"""A log that HAProxy wrote during the system tests: its entries, metrics and rates stay as they were."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from pipeline.balancer.access import AccessRecord
from pipeline.balancer.haproxy.access_log import LogReader
from pipeline.balancer.planes import open_balancer
from pipeline.balancer.telemetry.metrics import Metrics
from pipeline.balancer.telemetry.rendering import as_line
from pipeline.balancer.telemetry.traffic import Traffic

RECORDED = Path(__file__).with_name("recorded")


def recorded() -> list[AccessRecord]:
    return list(LogReader().records((RECORDED / "haproxy.txt").read_bytes().splitlines(keepends=True)))


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Each sample's value by its name and labels. A sample that comes twice fails."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def test_entries() -> None:
    """Every request has the same line as before, field by field."""
    written = (RECORDED / "entries.txt").read_text().splitlines()
    assert [as_line(record.entry()) for record in recorded()] == written


def test_metrics(tmp_path: Path) -> None:
    """Names, labels and values are the same as before."""
    (tmp_path / "access.log").write_bytes((RECORDED / "haproxy.txt").read_bytes())
    expected = samples((RECORDED / "metrics.txt").read_text())
    assert len(expected) > 100
    assert samples(Metrics(open_balancer(tmp_path)).text()) == expected


def test_rates() -> None:
    """Requests and errors by target are the same as before."""
    written = json.loads((RECORDED / "rates.json").read_text())
    begin, now = datetime.fromisoformat(written["begin"]), datetime.fromisoformat(written["now"])
    newest_first = sorted(recorded(), key=lambda record: record.ended, reverse=True)
    traffic = Traffic.since(begin, now, newest_first)
    assert [
        {"group": group, "target": target, "rate": traffic.rate(group, target), "errors": traffic.errors[group, target]}
        for group, target in sorted(traffic.requests)
    ] == written["targets"]
