"""The Swarm that an engine manages, by its API."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from pipeline.base.errors import EngineFault, StageFailed
from pipeline.engine.docker.connection import connect
from pipeline.engine.docker.faults import check_response, ignore_not_found, ignore_unreadable, translate_errors
from pipeline.engine.docker.frames import FrameReader
from pipeline.engine.docker.server import log_driver_of
from pipeline.engine.docker.swarm_translation import (
    endpoint,
    node_from,
    service_from,
    stopped_template,
    task_template,
    tasks_from,
)
from pipeline.engine.labels import LABEL_HOME, LABEL_PIPELINE
from pipeline.engine.swarm.replica_service import LABEL_REPLICA, LABEL_STOPPED
from pipeline.engine.swarm.swarm import Availability, SwarmNode, SwarmService, SwarmServiceSpec, SwarmTask

# Seconds for a read. A manager that waits for the next leader answers a later call sooner than the one that waits.
_READ_TIMEOUT = 5
# Seconds for a change. A leader that is cut off notices it after about eleven.
_WRITE_TIMEOUT = 15
_CONNECTIONS = 24
_ATTEMPTS = 20
_OUT_OF_SEQUENCE = "update out of sequence"
_NO_MANAGER = re.compile(r"not a swarm manager|not part of a swarm", re.IGNORECASE)
_NO_LEADER = re.compile(r"does not have a leader|lost leader|no leader|leader is (unknown|changing)", re.IGNORECASE)
_NO_ANSWER = re.compile(r"did not respond within|context deadline exceeded|DeadlineExceeded|Unavailable")
_REFUSED = (400, 404, 409)


class DockerSwarm:
    """The Swarm of the engine that `environment` names, limited to the services of `home`. See `Swarm`.

    The engine may take these seconds for the response to a read and to a change.
    """

    def __init__(
        self,
        home: str,
        environment: Mapping[str, str],
        *,
        read_timeout: float = _READ_TIMEOUT,
        write_timeout: float = _WRITE_TIMEOUT,
    ) -> None:
        self._home = home
        self._reader = connect(environment, pool=_CONNECTIONS, timeout=read_timeout)
        self._writer = connect(environment, pool=_CONNECTIONS, timeout=write_timeout)
        self._url = f"{self._writer.base_url}/v{self._writer.api_version}"
        self._lock = threading.Lock()

    def nodes(self) -> tuple[SwarmNode, ...]:
        """Return every node, ready or not."""
        with _errors(self._reader):
            return tuple(map(node_from, self._reader.nodes()))

    def local_node(self) -> str:
        """Return the id of the node that the engine is."""
        with _errors(self._reader):
            return str(self._reader.info().get("Swarm", {}).get("NodeID", ""))

    def services(self, pipeline: str) -> tuple[SwarmService, ...]:
        """Return every service of a pipeline."""
        with _errors(self._reader):
            return tuple(map(service_from, self._reader.services(filters=self._of(pipeline))))

    def tasks(self, pipeline: str) -> tuple[SwarmTask, ...]:
        """Return the tasks of every service of a pipeline, the oldest first."""
        with _errors(self._reader):
            return tasks_from(self._reader.tasks(filters=self._of(pipeline)))

    def find(self, replica: str) -> SwarmService | None:
        """Return the service of a replica, or None."""
        labels = [f"{LABEL_HOME}={self._home}", f"{LABEL_REPLICA}={replica}"]
        with _errors(self._reader):
            rows = self._reader.services(filters={"label": labels})
        return service_from(rows[0]) if rows else None

    def tasks_of(self, service: str) -> tuple[SwarmTask, ...]:
        """Return the tasks of one service by its id, the oldest first."""
        with _errors(self._reader), ignore_not_found():
            return tasks_from(self._reader.tasks(filters={"service": [service]}))
        return ()

    def tasks_on(self, node: str) -> tuple[SwarmTask, ...]:
        """Return the tasks of every program on a node, by its id."""
        with _errors(self._reader), ignore_not_found():
            return tasks_from(self._reader.tasks(filters={"node": node}))
        return ()

    def create(self, spec: SwarmServiceSpec) -> None:
        """Create a service. Raises `StageFailed` if the Swarm refuses it, and if its name is in use."""
        import docker.errors

        name = spec.replica.name
        template = task_template(spec, self._secrets(spec), log_driver_of(self._reader))
        with _errors(self._writer):
            try:
                self._writer.create_service(
                    template,
                    name=spec.name,
                    labels={**spec.labels, LABEL_HOME: self._home},
                    mode={"Replicated": {"Replicas": 1}},
                    endpoint_spec=endpoint(spec.replica.port),
                )
            except docker.errors.APIError as error:
                if error.status_code in _REFUSED:
                    raise StageFailed(f"{name} cannot be started: {error.explanation}") from error
                raise

    def set_label(self, service: str, name: str, value: str) -> None:
        """Set a label of a service. Its task is not replaced."""
        self._update(service, lambda spec: {**spec, "Labels": {**(spec.get("Labels") or {}), name: value}})

    def stop(self, service: str) -> None:
        """Let a service have no task, and send SIGTERM to the current one. Returns at once."""

        def stopped(spec: dict[str, Any]) -> dict[str, Any]:
            labels = {**(spec.get("Labels") or {}), LABEL_STOPPED: "true"}
            return {**spec, "Labels": labels, "TaskTemplate": stopped_template(spec["TaskTemplate"])}

        self._update(service, stopped)

    def remove(self, service: str) -> None:
        """Remove a service, its tasks and their containers."""
        with _errors(self._writer), ignore_not_found():
            self._writer.remove_service(service)

    def logs(self, task: SwarmTask, lines: int) -> tuple[str, ...]:
        """Return the last lines of output of a task, or nothing if its node does not have them any more."""
        parameters = {"stdout": True, "stderr": True, "tail": lines}
        with _errors(self._reader), ignore_not_found(), ignore_unreadable():
            answer = self._reader.get(
                f"{self._url}/tasks/{task.id}/logs", params=parameters, timeout=self._reader.timeout
            )
            check_response(answer)
            text = b"".join(content for _, content in FrameReader().feed(answer.content))
            return tuple(text.decode(errors="replace").splitlines())[-lines:]
        return ()

    def confirm(self) -> None:
        """Return if most managers follow the leader: writes a few bytes, which takes some 5 ms."""
        with self._lock, _errors(self._writer):
            for _ in range(_ATTEMPTS):
                config = self._config()
                if config is None:
                    self._create_config()
                    return
                labels = {**(config["Spec"].get("Labels") or {}), "penstock.confirmed": secrets.token_hex(4)}
                if self._post(f"/configs/{config['ID']}/update", config, {**config["Spec"], "Labels": labels}):
                    return
        raise EngineFault("the Swarm does not accept a change: other programs change it at the same time")

    def release(self) -> None:
        """Remove what `confirm` has left in the Swarm, unless a service of this home is left."""
        with self._lock, _errors(self._writer):
            if self._writer.services(filters={"label": [f"{LABEL_HOME}={self._home}"]}):
                return
            if config := self._config():
                with ignore_not_found():
                    self._writer.remove_config(config["ID"])

    def set_availability(self, node: str, availability: Availability) -> None:
        """Set the availability of a node by its id."""

        def attempt() -> bool:
            found = self._writer.inspect_node(node)
            spec = {**found["Spec"], "Availability": availability.value}
            return self._post(f"/nodes/{node}/update", found, spec)

        self._until(attempt)

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()
        self._writer.close()

    def _of(self, pipeline: str) -> dict[str, list[str]]:
        return {"label": [f"{LABEL_HOME}={self._home}", f"{LABEL_PIPELINE}={pipeline}"]}

    def _secrets(self, spec: SwarmServiceSpec) -> dict[str, str]:
        """Return the ids of the secrets that a service needs. Raises `StageFailed` if one does not exist."""
        wanted = [secret.name for secret in spec.replica.swarm.secrets]
        if not wanted:
            return {}
        with _errors(self._reader):
            known = {each["Spec"]["Name"]: each["ID"] for each in self._reader.secrets()}
        if missing := next((name for name in wanted if name not in known), None):
            raise StageFailed(
                f"{spec.replica.name} cannot be started: the Swarm has no secret {missing}",
                hint=f"create it: docker secret create {missing} FILE",
            )
        return {name: known[name] for name in wanted}

    def _update(self, service: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        def attempt() -> bool:
            found = self._writer.inspect_service(service)
            return self._post(f"/services/{found['ID']}/update", found, change(found["Spec"]))

        self._until(attempt)

    def _until(self, attempt: Callable[[], bool]) -> None:
        """Repeat a change while another program changes the object. Does nothing if it is gone."""
        with _errors(self._writer), ignore_not_found():
            for _ in range(_ATTEMPTS):
                if attempt():
                    return
            raise EngineFault("the Swarm does not accept a change: other programs change it at the same time")

    def _post(self, path: str, found: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
        """Change an object of the Swarm as it was found. Returns False if it has another version by now."""
        import docker.errors

        answer = self._writer.post(
            f"{self._url}{path}",
            params={"version": found["Version"]["Index"]},
            json=dict(spec),
            timeout=self._writer.timeout,
        )
        try:
            check_response(answer)
        except docker.errors.APIError as error:
            if _OUT_OF_SEQUENCE in str(error.explanation):
                return False
            raise
        return True

    def _config(self) -> dict[str, Any] | None:
        found: list[dict[str, Any]] = self._writer.configs(filters={"name": self._config_name})
        return next((each for each in found if each["Spec"]["Name"] == self._config_name), None)

    def _create_config(self) -> None:
        import docker.errors

        try:
            self._writer.create_config(self._config_name, b"-", labels={LABEL_HOME: self._home})
        except docker.errors.APIError as error:
            # Another process was quicker. Its change confirms as well.
            if error.status_code != HTTPStatus.CONFLICT:
                raise

    @property
    def _config_name(self) -> str:
        return f"penstock-{self._home}"


@contextmanager
def _errors(api: Any) -> Iterator[None]:
    """Translate errors, and say what to do where the Swarm cannot decide."""
    try:
        with translate_errors(api):
            yield
    except EngineFault as fault:
        if _NO_MANAGER.search(fault.message):
            raise EngineFault(
                "the local engine is no manager of a Swarm",
                hint="`docker swarm init` makes one, `docker node promote` lets this machine manage an existing one",
            ) from fault
        if _NO_LEADER.search(fault.message) or _NO_ANSWER.search(fault.message):
            raise EngineFault(
                f"the Swarm cannot decide anything now: {fault.message}",
                hint="more than half of its managers must reach one another; `docker node ls` shows them",
            ) from fault
        raise
