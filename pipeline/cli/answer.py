"""An answer to a run that waits for approval. The first one counts."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from pipeline.cli.session import session
from pipeline.runner import gates
from pipeline.store.records import ApprovalDecision


def answer(number: int, file: Path, parameters: Sequence[str], *, granted: bool, comment: str) -> None:
    """Write the answer down, where whoever works on the run sees it, daemon or command."""
    with session(file, parameters) as opened:
        given = ApprovalDecision(granted, getpass.getuser(), comment, datetime.now(UTC))
        counts = gates.answer(opened.store, opened.name, number, given).approval
        assert counts is not None
        word = "approved" if counts.granted else "rejected"
        click.echo(f"run {number} is {word} by {counts.by}" + ("" if counts == given else ", who was first"))
