"""The pages about stacks: their list, one with its resources and events, and what its deletion would do."""

from __future__ import annotations

from pipeline.base.errors import ConfigError
from pipeline.http.responses.stack import DescribedStackResponse
from pipeline.http.stack_endpoints import ContinueRollback, DeleteStack, StackCommands, StackOwner
from pipeline.http.stack_report import StackReport
from pipeline.stacks.status import StackStatus
from pipeline.web.action import Action, ActionRequest, Done
from pipeline.web.page import Page, PageMissing, Parts, ViewContext

_MAX_EVENTS = 100
_STACK = "/stacks/{stack}"


def _index(context: ViewContext) -> Parts:
    return {"stacks": context.part("stacks/index_part.html", stacks=StackReport(context.reports.store).all())}


def _stack(context: ViewContext) -> Parts:
    report = StackReport(context.reports.store)
    stack = _found(report, context.arguments["stack"])
    status = StackStatus(stack.status)
    events = report.events(stack.id, limit=_MAX_EVENTS)
    return {
        "stack": context.part(
            "stacks/stack_part.html",
            stack=stack,
            can_cancel=status.can_be_cancelled,
            can_continue=status is StackStatus.UPDATE_ROLLBACK_FAILED,
            can_delete=status is StackStatus.CREATE_IN_PROGRESS or not status.in_progress,
            is_deleted=status is StackStatus.DELETE_COMPLETE,
        ),
        "resources": context.part("stacks/resources_part.html", resources=report.resources(stack.id)),
        "stack-events": context.part("stacks/events_part.html", events=events[::-1], most=_MAX_EVENTS),
    }


def _deletion(context: ViewContext) -> Parts:
    report, name = StackReport(context.reports.store), context.arguments["stack"]
    stack = _found(report, name)
    if stack.status == StackStatus.DELETE_COMPLETE:
        raise PageMissing(f"stack {name[:200]} was deleted")
    part = context.part(
        "stacks/deletion_part.html",
        stack=stack,
        plan=report.deletion(stack.id),
        is_creating=stack.status == StackStatus.CREATE_IN_PROGRESS,
        has_failed=stack.status == StackStatus.DELETE_FAILED,
    )
    return {"deletion": part}


def _found(report: StackReport, name: str) -> DescribedStackResponse:
    """Return a stack, or else the one of this name that was deleted last. So an open page shows its end."""
    try:
        return report.stack(name)
    except ConfigError as error:
        deleted = (each for each in report.all(with_deleted=True) if each.name == name)
        if found := next(deleted, None):
            return found
        raise PageMissing(error.message, hint=error.hint) from None


def _commands(request: ActionRequest) -> tuple[StackCommands, str]:
    if request.reports.stacks is None:
        raise ConfigError("this daemon has no stacks")
    return StackCommands(request.reports.stacks), request.arguments["stack"]


def _cancel(request: ActionRequest) -> Done:
    commands, name = _commands(request)
    commands.cancel(name, StackOwner(by=request.user))
    return Done(f"The operation on {name} is being cancelled.")


def _continue(request: ActionRequest) -> Done:
    commands, name = _commands(request)
    commands.continue_rollback(name, ContinueRollback(by=request.user))
    return Done(f"The rollback of {name} continues.")


def _delete(request: ActionRequest) -> Done:
    commands, name = _commands(request)
    # That of the plan, even if another stack has its name by now.
    stack = commands.delete(request.form.get("id", name), DeleteStack(by=request.user))
    is_deleted = stack.status == StackStatus.DELETE_COMPLETE
    return Done(f"{name} {'was' if is_deleted else 'is being'} deleted.", go_to=f"/stacks/{name}")


PAGES = (
    Page("/stacks", "stacks", "Stacks", "stacks/index.html", _index, label="Stacks", rank=70),
    Page(_STACK, "stack", "Stack {stack}", "stacks/stack.html", _stack),
    Page(f"{_STACK}/delete", "stack-deletion", "Delete stack {stack}", "stacks/deletion.html", _deletion),
)
ACTIONS = (
    Action(f"{_STACK}/cancel", _cancel, back=_STACK),
    Action(f"{_STACK}/continue", _continue, back=_STACK),
    Action(f"{_STACK}/delete", _delete, back=f"{_STACK}/delete"),
)
