"""The control API's endpoints for accessories."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.accessories.backup_files import BackupFiles
from pipeline.base.errors import ConfigError
from pipeline.daemon.accessory_actions import AccessoryAction
from pipeline.daemon.control import Control
from pipeline.daemon.service_control import ServiceControl
from pipeline.http.accessory_report import AccessoryReport
from pipeline.http.endpoint import Endpoint, json_response
from pipeline.http.parameters import read_body
from pipeline.http.requests import ActOnAccessory
from pipeline.http.responses.accessory import AccessoryResponse
from pipeline.http.responses.backup import BackupResponse
from pipeline.http.responses.effect import EffectResponse
from pipeline.runner.engine_view import EngineView


class AccessoryApi:
    """Endpoints that show the accessories of a daemon's pipelines and act on them. Events report how an action ends."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._services = ServiceControl(control)
        accessories = "/v1/pipelines/{pipeline}/accessories"
        one = f"{accessories}/{{name}}"
        self.endpoints = (
            Endpoint(
                "GET",
                accessories,
                "The accessories of a pipeline.",
                self._accessories,
                gives=AccessoryResponse,
                many=True,
            ),
            Endpoint(
                "GET",
                f"{one}/backups",
                "The complete backups of an accessory, oldest first.",
                self._backups,
                gives=BackupResponse,
                many=True,
            ),
            Endpoint(
                "POST",
                f"{one}/{{action}}",
                "Begin to `start`, `stop`, `restart` or `upgrade` an accessory, a `backup` of it, or to `restore` one.",
                self._act,
                ActOnAccessory,
                EffectResponse,
                202,
            ),
        )

    async def _accessories(self, request: Request) -> Response:
        found = await run_in_threadpool(accessory_responses, self._control, request.path_params["pipeline"])
        return JSONResponse([each.as_data() for each in found])

    async def _backups(self, request: Request) -> Response:
        pipeline, name = request.path_params["pipeline"], request.path_params["name"]
        found = await run_in_threadpool(backup_responses, self._control, pipeline, name)
        return JSONResponse([each.as_data() for each in found])

    async def _act(self, request: Request) -> Response:
        asked, action = await read_body(request, ActOnAccessory), _action(request.path_params["action"])
        pipeline, name = request.path_params["pipeline"], request.path_params["name"]
        effect = await run_in_threadpool(
            self._services.act_on_accessory, pipeline, name, action, by=asked.by, backup=asked.backup
        )
        return json_response(EffectResponse(effect=effect), 202)


def accessory_responses(control: Control, pipeline: str) -> list[AccessoryResponse]:
    """Return the accessories of a pipeline. Waits a second for the engine at most."""
    home, declared = control.home_of(pipeline), control.accessories(pipeline)
    containers = EngineView.of(home, pipeline).accessories
    return list(AccessoryReport.of(home, control.store, pipeline, declared, containers).accessories)


def backup_responses(control: Control, pipeline: str, name: str) -> list[BackupResponse]:
    """Return the complete backups of an accessory, oldest first. Raises `ConfigError` for a name that is not known."""
    control.supervisor(pipeline).accessory_actions.check(name)
    return [
        BackupResponse.model_validate(each)
        for each in BackupFiles(control.home_of(pipeline).backups(pipeline, name)).all()
    ]


def _action(text: str) -> AccessoryAction:
    try:
        return AccessoryAction(text)
    except ValueError:
        raise ConfigError(f"unknown action {text[:40]}", hint=f"the actions are {', '.join(AccessoryAction)}") from None
