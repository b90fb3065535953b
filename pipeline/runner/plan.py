"""The plan of a run and of a rollback: their steps, without doing them."""

from __future__ import annotations

from pipeline.api import Wanted
from pipeline.base.errors import ConfigError
from pipeline.runner.context import PipelineContext
from pipeline.runner.gates import planned_waits
from pipeline.runner.ownership import check_owner
from pipeline.runner.rollback_release import rollback_release
from pipeline.runner.stages import check_deployer, load_builder, load_deployer, load_source
from pipeline.store.records import Release


def plan_run(pipeline_context: PipelineContext, requested: str | None = None) -> dict[str, list[str]]:
    """Return the steps that each stage of a run would take, and what the run would wait for. Changes nothing."""
    context = pipeline_context.stage_context()
    with pipeline_context.masking_errors():
        source, deployer = load_source(context.configuration), load_deployer(context)
        check_deployer(context)
        check_owner(pipeline_context.store, pipeline_context.configuration)
        found = source.plan(context, Wanted(requested, force=not deployer.is_current(context)))
        built = load_builder(context.configuration).plan(context, found.made)
        steps = deployer.plan(context, found.made.revision, built.made)
        stages = {"source": found.steps, "build": built.steps, "deploy": steps}
        return {stage: [*planned_waits(context, stage), *steps] for stage, steps in stages.items()}


def plan_rollback(pipeline_context: PipelineContext, number: int | None = None) -> tuple[Release, list[str]]:
    """Return the release of a rollback, by default the one before the active one, and its steps. Changes nothing.

    Raises `ConfigError` if the rollback is not possible.
    """
    context = pipeline_context.stage_context()
    with pipeline_context.masking_errors():
        check_owner(pipeline_context.store, pipeline_context.configuration)
        release = rollback_release(pipeline_context.store, pipeline_context.pipeline, number)
        # A stage of another package may be older than the method.
        planned = getattr(load_deployer(context), "plan_rollback", None)
        if planned is None:
            raise ConfigError("the stage in deploy.uses cannot plan a rollback", hint="`pipeline rollback` rolls back")
        return release, [*_waits(pipeline_context), *planned(context, release)]


def _waits(pipeline_context: PipelineContext) -> list[str]:
    """Return what a rollback would wait for: a disabled transition. It needs no approval."""
    reason = pipeline_context.store.transitions.disabled(pipeline_context.pipeline).get("deploy")
    if reason is None:
        return []
    return [f"wait until `pipeline transition enable deploy`: the transition is disabled: {reason}"]
