"""The decision on a run that waits for approval. The first one counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from pipeline.base.printable import escape_line
from pipeline.cli.session import session
from pipeline.runner import gates
from pipeline.store.records import ApprovalDecision


def record_decision(number: int, file: Path, parameters: Sequence[str], *, granted: bool, comment: str) -> None:
    """Store a decision and print the one that counts. The daemon or command that works on the run reads it."""
    with session(file, parameters) as opened:
        given = ApprovalDecision(granted, opened.user, escape_line(comment), datetime.now(UTC))
        counts = gates.answer(opened.store, opened.name, number, given).approval
        assert counts is not None
        word = "approved" if counts.granted else "rejected"
        click.echo(f"run {number} {word} by {counts.by}" + ("" if counts == given else " (decided before)"))
