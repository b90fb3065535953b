"""Differences, drift and summaries of templates, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.output import table

if TYPE_CHECKING:
    from pipeline.stacks.records import DriftReport

_MARKS = {"Add": "+", "Modify": "~", "Remove": "-"}


def show_changes(changes: Sequence[Mapping[str, Any]], *, differs: bool) -> None:
    """Print the changes of a change set, each with the properties that cause it."""
    for change in changes:
        found = change["ResourceChange"]
        replacement = found.get("Replacement")
        note = "" if replacement in {None, "False"} else f"  replacement: {replacement}"
        click.echo(f"{_MARKS[found['Action']]} {found['LogicalResourceId']}  {found['ResourceType']}{note}")
        for detail in found["Details"]:
            click.echo(f"    {_detail(detail)}")
    if not changes:
        click.echo("only outputs or tags change" if differs else "no changes")


def show_drift(report: DriftReport) -> None:
    """Print the state of each resource, and the properties that differ."""
    for found in report.resources:
        click.echo(f"{found['LogicalResourceId']}  {found['ResourceType']}  {found['StackResourceDriftStatus']}")
        for difference in found["PropertyDifferences"]:
            expected, actual = difference["ExpectedValue"], difference["ActualValue"]
            click.echo(f"    {difference['PropertyPath']}: expected {expected}, found {actual}")


def show_summary(file: Path, summary: Mapping[str, Any]) -> None:
    """Print what a valid template has."""
    click.echo(f"{file}: valid")
    for warning in summary["Warnings"]:
        click.echo(f"warning: {warning}")
    rows = [
        (
            found["ParameterKey"],
            found["ParameterType"],
            str(found.get("DefaultValue", "")),
            found.get("Description", ""),
        )
        for found in summary["Parameters"]
    ]
    if rows:
        table(rows, "parameter", "type", "default", "description")
    click.echo("types: " + ", ".join(summary["ResourceTypes"]))


def _detail(detail: Mapping[str, Any]) -> str:
    target = detail["Target"]
    name = target.get("Name") or target["Attribute"]
    cause = f"  ({detail['ChangeSource']} {detail['CausingEntity']})" if "CausingEntity" in detail else ""
    if "BeforeValue" not in target and "AfterValue" not in target:
        return f"{name}{cause}"
    before, after = (json.dumps(target[key]) if key in target else "none" for key in ("BeforeValue", "AfterValue"))
    return f"{name}: {before} → {after}{cause}"
