"""The pages about what runs: services, accessories, jobs and hosts, each with its log, and their buttons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from markupsafe import Markup

from pipeline.base.errors import ConfigError
from pipeline.base.whole_number import whole_number
from pipeline.daemon.accessory_actions import AccessoryAction
from pipeline.daemon.service_control import ServiceControl
from pipeline.http.accessory_api import backup_responses
from pipeline.http.app_log import Wanted
from pipeline.http.job_report import job_runs
from pipeline.http.log_api import accessory_tail, log_tail
from pipeline.http.responses.service import ServiceResponse
from pipeline.http.responses.status import StatusResponse
from pipeline.http.status_report import StatusReport
from pipeline.store.queue import RunRequest
from pipeline.store.records import MAX_REPLICAS, RunKind, Trigger
from pipeline.web.action import Action, ActionRequest, Done
from pipeline.web.log_part import log_part
from pipeline.web.page import Page, PageMissing, Parts, ViewContext
from pipeline.web.reports import WebReports
from pipeline.web.served_pipeline import served_context

_PIPELINE = "/pipelines/{pipeline}"
_SERVICES = f"{_PIPELINE}/services"
_SERVICE, _ACCESSORY = f"{_SERVICES}/{{service}}", f"{_PIPELINE}/accessories/{{accessory}}"
_JOB, _NODE = f"{_PIPELINE}/jobs/{{job}}", f"{_PIPELINE}/nodes/{{node}}"
_RUNS = 10
# The containers whose logs are read at once.
_MAX_LOGGED = 30
T = TypeVar("T")


def _index(context: ViewContext) -> Parts:
    reports = context.reports
    found = {name: _status(reports, name) for name in reports.control.supervisors}
    return {"services": context.part("services/index_part.html", pipelines=found)}


def _overview(context: ViewContext) -> Parts:
    pipeline = _pipeline(context)
    status = _status(context.reports, pipeline)
    scaled = {each.service: each for each in status.scaling}
    return {
        "services": context.part(
            "services/services_part.html", pipeline=pipeline, services=status.services, scaled=scaled
        ),
        "accessories": context.part(
            "services/accessories_part.html", pipeline=pipeline, accessories=status.accessories
        ),
        "jobs": context.part("services/jobs_part.html", pipeline=pipeline, jobs=status.jobs),
        "nodes": context.part("services/nodes_part.html", pipeline=pipeline, hosts=status.hosts),
    }


def _service(context: ViewContext) -> Parts:
    pipeline, name = _pipeline(context), context.arguments["service"]
    status = _status(context.reports, pipeline)
    service = _named(status.services, name, lambda each: each.name, f"{pipeline} has no service")
    scaling = next((each for each in status.scaling if each.service == name), None)
    return {
        "service": context.part(
            "services/service_part.html",
            pipeline=pipeline,
            service=service,
            scaling=scaling,
            most=MAX_REPLICAS,
            replica=context.arguments.get("replica") or None,
        ),
        "log": _service_log(context, pipeline, service),
    }


def _service_log(context: ViewContext, pipeline: str, service: ServiceResponse) -> Markup:
    """Return the log of a service, or of one of its replicas. To read very many of them at once would take long."""
    replica = context.arguments.get("replica") or None
    if replica is None and len(service.replicas) > _MAX_LOGGED:
        problem = f"choose one of its {len(service.replicas)} containers above"
        return context.part("log.html", lines=(), problem=problem, most=0)
    return _app_log(context, pipeline, service.name, replica)


def _accessory(context: ViewContext) -> Parts:
    pipeline, name = _pipeline(context), context.arguments["accessory"]
    status, reports = _status(context.reports, pipeline), context.reports
    found = _named(status.accessories, name, lambda each: each.name, f"{pipeline} has no accessory")
    settings = reports.control.accessories(pipeline).get(name)
    lines = log_part(
        context,
        lambda most: [
            (each.at, "", each.text) for each in accessory_tail(served_context(reports, pipeline), name, most)
        ],
    )
    return {
        "accessory": context.part(
            "services/accessory_part.html",
            pipeline=pipeline,
            accessory=found,
            backups=backup_responses(reports.control, pipeline, name)[::-1],
            has_backup=settings is not None and settings.backup is not None,
            has_restore=settings is not None and settings.restore is not None,
        ),
        "log": lines,
    }


def _upgrade(context: ViewContext) -> Parts:
    pipeline, name, control = _pipeline(context), context.arguments["accessory"], context.reports.control
    found = _named(
        _status(context.reports, pipeline).accessories, name, lambda each: each.name, f"{pipeline} has no accessory"
    )
    settings = control.accessories(pipeline).get(name)
    if settings is None:
        raise PageMissing(f"pipeline.yaml of {pipeline} has no accessory {name[:200]}")
    backups = backup_responses(control, pipeline, name)
    part = context.part(
        "services/upgrade_part.html",
        pipeline=pipeline,
        accessory=found,
        image=settings.image,
        has_backup=settings.backup is not None,
        backup=backups[-1] if backups else None,
    )
    return {"upgrade": part}


def _restore(context: ViewContext) -> Parts:
    pipeline, name, wanted = _pipeline(context), context.arguments["accessory"], context.arguments.get("backup", "")
    backups = backup_responses(context.reports.control, pipeline, name)
    backup = _named(backups, wanted, lambda each: each.name, f"{name} has no backup")
    return {"restore": context.part("services/restore_part.html", pipeline=pipeline, accessory=name, backup=backup)}


def _job(context: ViewContext) -> Parts:
    pipeline, name = _pipeline(context), context.arguments["job"]
    job = _named(_status(context.reports, pipeline).jobs, name, lambda each: each.name, f"{pipeline} has no job")
    runs = job_runs(context.reports.store, pipeline, name, _RUNS)
    return {
        "job": context.part("services/job_part.html", pipeline=pipeline, job=job, runs=runs),
        "log": _app_log(context, pipeline, name),
    }


def _drain(context: ViewContext) -> Parts:
    pipeline, name = _pipeline(context), context.arguments["node"]
    hosts = _status(context.reports, pipeline).hosts
    host = _named(hosts, name, lambda each: each.name, f"{pipeline} has no host")
    others = [each.name for each in hosts if each.takes_replicas and each.name != name]
    return {"node": context.part("services/drain_part.html", pipeline=pipeline, host=host, others=others)}


def _pipeline(context: ViewContext) -> str:
    name = context.arguments["pipeline"]
    served_context(context.reports, name)
    return name


def _status(reports: WebReports, pipeline: str) -> StatusResponse:
    return reports.shared(f"status of {pipeline}", lambda: StatusReport.served(reports.control, pipeline)).response()


def _named(found: Sequence[T], name: str, name_of: Callable[[T], str], text: str) -> T:
    each = next((each for each in found if name_of(each) == name), None)
    if each is None:
        raise PageMissing(f"{text} {name[:200]}")
    return each


def _app_log(context: ViewContext, pipeline: str, service: str, replica: str | None = None) -> Markup:
    served = served_context(context.reports, pipeline)
    return log_part(
        context,
        lambda most: [
            (each.at, each.replica.partition(".")[2], each.text)
            for each in log_tail(served, Wanted(service=service, replica=replica), most).lines
        ],
    )


def _control(request: ActionRequest) -> tuple[ServiceControl, str]:
    return ServiceControl(request.reports.control), request.arguments["pipeline"]


def _submit(request: ActionRequest, kind: RunKind, wanted: str | None) -> int:
    asked = RunRequest(Trigger.COMMAND, wanted, kind, by=request.user)
    return request.reports.control.submit(request.arguments["pipeline"], asked).number


def _scale(request: ActionRequest) -> Done:
    service, text = request.arguments["service"], request.form.get("replicas", "")
    count = whole_number(text, MAX_REPLICAS)
    if not count:
        raise ConfigError(f"replicas: must be a number from 1 to {MAX_REPLICAS}, got {text[:40]!r}")
    number = _submit(request, RunKind.SCALE, f"{service}={count}")
    return Done(f"Run {number} scales {service} to {count}.")


def _restart(request: ActionRequest) -> Done:
    service = request.arguments["service"]
    return Done(f"Run {_submit(request, RunKind.RESTART, service)} replaces the replicas of {service}.")


def _suspend(request: ActionRequest) -> Done:
    (control, pipeline), service = _control(request), request.arguments["service"]
    is_changed = control.suspend_scaling(pipeline, service, by=request.user)
    return Done(f"Scaling of {service} is suspended{'' if is_changed else ' already'}.")


def _resume(request: ActionRequest) -> Done:
    (control, pipeline), service = _control(request), request.arguments["service"]
    is_changed = control.resume_scaling(pipeline, service, by=request.user)
    return Done(f"Scaling of {service} is not suspended{' any more' if is_changed else ''}.")


def _act_on_accessory(action: AccessoryAction) -> Callable[[ActionRequest], Done]:
    def act(request: ActionRequest) -> Done:
        control, pipeline = _control(request)
        backup = request.form.get("backup") or None
        effect = control.act_on_accessory(
            pipeline, request.arguments["accessory"], action, by=request.user, backup=backup
        )
        return Done(f"{effect[0].upper()}{effect[1:]}.")

    return act


def _run_job(request: ActionRequest) -> Done:
    (control, pipeline), job = _control(request), request.arguments["job"]
    run = control.run_job(pipeline, job, by=request.user)
    return Done(f"Run {run.number} of {job} has begun.")


def _cancel_job(request: ActionRequest) -> Done:
    (control, pipeline), job = _control(request), request.arguments["job"]
    run = control.cancel_job(pipeline, job, by=request.user)
    return Done(f"Run {run.number} of {job} is being cancelled.")


def _drain_node(request: ActionRequest) -> Done:
    (control, pipeline), node = _control(request), request.arguments["node"]
    run = control.drain_node(pipeline, node, by=request.user)
    return Done(f"Run {run.number} drains {node}.", go_to=f"/pipelines/{pipeline}/services")


def _resume_node(request: ActionRequest) -> Done:
    (control, pipeline), node = _control(request), request.arguments["node"]
    is_changed = control.resume_node(pipeline, node, by=request.user)
    return Done(f"{node} takes replicas{' again' if is_changed else ' already'}.")


_STYLES = ("services.css",)
PAGES = (
    Page("/services", "all-services", "Services", "services/index.html", _index, label="Services", rank=50),
    Page(_SERVICES, "services", "Services of {pipeline}", "services/overview.html", _overview),
    Page(
        _SERVICE,
        "service",
        "Service {service} of {pipeline}",
        "services/service.html",
        _service,
        query=("replica",),
        styles=_STYLES,
    ),
    Page(
        _ACCESSORY,
        "accessory",
        "Accessory {accessory} of {pipeline}",
        "services/accessory.html",
        _accessory,
        styles=_STYLES,
    ),
    Page(
        f"{_ACCESSORY}/upgrade",
        "upgrade",
        "Upgrade {accessory} of {pipeline}",
        "services/upgrade.html",
        _upgrade,
        is_live=False,
    ),
    Page(
        f"{_ACCESSORY}/restore",
        "restore",
        "Restore {accessory} of {pipeline}",
        "services/restore.html",
        _restore,
        query=("backup",),
        is_live=False,
    ),
    Page(_JOB, "job", "Job {job} of {pipeline}", "services/job.html", _job, styles=_STYLES),
    Page(f"{_NODE}/drain", "drain", "Drain {node} of {pipeline}", "services/drain.html", _drain),
)
ACTIONS = (
    Action(f"{_SERVICE}/scale", _scale, back=_SERVICE),
    Action(f"{_SERVICE}/restart", _restart, back=_SERVICE),
    Action(f"{_SERVICE}/suspend", _suspend, back=_SERVICE),
    Action(f"{_SERVICE}/resume", _resume, back=_SERVICE),
    *(Action(f"{_ACCESSORY}/{each}", _act_on_accessory(each), back=_ACCESSORY) for each in AccessoryAction),
    Action(f"{_JOB}/run", _run_job, back=_JOB),
    Action(f"{_JOB}/cancel", _cancel_job, back=_JOB),
    Action(f"{_NODE}/drain", _drain_node, back=_SERVICES),
    Action(f"{_NODE}/resume", _resume_node, back=_SERVICES),
)
