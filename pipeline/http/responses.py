"""Runs, events and pipelines as the control API shows them: the records of the store, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from pipeline.daemon.supervisor import PipelineSupervisor
from pipeline.events import Event
from pipeline.store.records import Release, Run, StageRecord
from pipeline.store.store import Store

_RUN = TypeAdapter(Run)


def run_data(store: Store, run: Run) -> dict[str, Any]:
    """A run with its stages."""
    stages = store.runs.stages(run.pipeline, run.number)
    return {**_plain(run), "options": run.options.to_json(), "stages": [_plain(stage) for stage in stages]}


def event_data(number: int, event: Event) -> dict[str, Any]:
    """An event with its number, from which a follower can go on."""
    return {**_plain(event), "id": number}


def pipeline_data(store: Store, supervisor: PipelineSupervisor) -> dict[str, Any]:
    """A served pipeline: what serves, what is being done, what is closed."""
    name = supervisor.served_file.name
    active, runs = store.releases.active(name), store.runs.latest(name, limit=1)
    return {
        "name": name,
        "file": str(supervisor.served_file.file),
        "ready": supervisor.ready.is_set(),
        "release": {k: v for k, v in _plain(active).items() if k != "spec"} if active else None,
        "last_run": run_data(store, runs[0]) if runs else None,
        "closed_transitions": store.transitions.disabled(name),
    }


def run_schema() -> dict[str, Any]:
    """The JSON Schema of a run, without its stages."""
    return _RUN.json_schema(mode="serialization", ref_template="#/components/schemas/{model}")


def _plain(record: Run | StageRecord | Release | Event) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(record), default=_text))
    return plain


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
