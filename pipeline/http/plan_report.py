"""Plans as `pipeline plan`, `pipeline rollback --plan` and the control API show them."""

from __future__ import annotations

from pipeline.api import PlanFact
from pipeline.http.responses.plan import PlanResponse, RollbackPlanResponse
from pipeline.runner.context import PipelineContext
from pipeline.runner.plan import plan_rollback, plan_run


def run_plan(context: PipelineContext, commit: str | None = None) -> PlanResponse:
    """Return the plan of a run, by default of the usual branch. Raises what would stop the run at once."""
    return PlanResponse.model_validate(plan_run(context, commit))


def rollback_plan(context: PipelineContext, release: int | None = None) -> RollbackPlanResponse:
    """Return the plan of a rollback, by default to the release before the active one.

    Raises `ConfigError` if the rollback is not possible.
    """
    found, steps = plan_rollback(context, release)
    facts = [step for step in steps if isinstance(step, PlanFact)]
    return RollbackPlanResponse(release=found.number, deploy=steps, facts=facts)
