"""`pipeline timeline`: as text and as JSON."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from pipeline.base.errors import ConfigError
from pipeline.cli.timeline import command
from pipeline.cli.timeline_text import timeline_lines
from pipeline.event_kinds import EventKind as K
from pipeline.http.responses.timeline import TimelineResponse
from pipeline.http.timeline.timeline import timeline_of
from pipeline.store.records import RunState, StageRecord, StageState
from pipeline.store.store import Store
from tests.support.event_script import EventScript, at
from tests.support.started_runs import begin_run


def output_of(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_latest_run_is_shown(store: Store) -> None:
    """Or the one that is named."""
    for _ in range(2):
        run = begin_run(store, "shop")
        store.queue.enter("shop", run.number, "source")
        store.runs.finish("shop", run.number, RunState.SUCCEEDED)
    assert output_of().startswith("run 2 of shop: succeeded, ")
    assert output_of("1").splitlines()[1].startswith("source  ")
    found = json.loads(output_of("1", "--json"))
    assert (found["run"], found["state"], found["services"]) == (1, "succeeded", [])
    assert found.keys() == TimelineResponse.model_fields.keys()


@pytest.mark.parametrize(("arguments", "reason"), [((), "shop has not run yet"), (("3",), "there is no run 3")])
def test_there_may_be_none(store: Store, arguments: tuple[str, ...], reason: str) -> None:
    """An unknown run is an error."""
    with pytest.raises(ConfigError, match=reason):
        output_of(*arguments)


def test_the_bars_have_one_scale(store: Store) -> None:
    """A column is the same time in each."""
    run = begin_run(store, "shop")
    stage = StageRecord("shop", 1, "deploy", StageState.RUNNING, "", at(20), None)
    script = EventScript()
    script.add(20, K.ROLLOUT_STARTED, service="web", release=2, replicas=1, floor=1, healthy=1, targets="old=1")
    script.target(30, K.CONTAINER_STARTING, "new", 2)
    script.target(40, K.TARGET_HEALTHY, "new", 2)
    script.target(50, K.TARGET_DRAINING, "old", 1)
    script.add(55, K.DEPLOYMENT_CONTINUED, "the pause was ended by bob", service="web", by="bob")
    found = timeline_of(run, [stage], script.numbered()).model_copy(update={"started_at": at(0)})
    head, *lines = timeline_lines(found, at(0) + timedelta(seconds=60))
    assert head.startswith("run 1 of shop: running, ")
    assert lines[:5] == [
        "deploy    40.0 s  |                    ========================================",
        "web: release 2, 1 wanted",
        "old       rel. 1  |                    ##############################~~~~~~~~~~",
        "new       rel. 2  |                              ..........####################",
        "        healthy targets: 1 2 1; the rollout keeps at least 1",
    ]
    assert lines[5].startswith(". starting   : initial   # healthy")
    assert lines[6].endswith("  the pause was ended by bob")
