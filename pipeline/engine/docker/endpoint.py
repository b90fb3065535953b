"""The engine that Docker's own command line would use: by DOCKER_HOST, else by a context."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.base.errors import EngineFault
from pipeline.engine.docker.faults import DEFAULT_ADDRESS

_DEFAULT_CONTEXT = "default"


@dataclass(frozen=True)
class Endpoint:
    """The address of an engine. `environment` has the TLS settings of DOCKER_HOST, `tls` those of a context."""

    address: str
    environment: Mapping[str, str] = field(default_factory=dict)
    tls: Path | None = None
    verify: bool = True

    def client_options(self) -> dict[str, Any]:
        """Return the options of the SDK's client."""
        from docker.tls import TLSConfig
        from docker.utils import kwargs_from_env

        environment = {**self.environment, "DOCKER_HOST": self.address}
        options: dict[str, Any] = {**kwargs_from_env(environment=environment)}
        if self.tls is not None:
            options["tls"] = TLSConfig(
                client_cert=(str(self.tls / "cert.pem"), str(self.tls / "key.pem"))
                if (self.tls / "cert.pem").exists()
                else None,
                ca_cert=str(self.tls / "ca.pem") if (self.tls / "ca.pem").exists() else None,
                verify=self.verify,
            )
        if self.address.startswith("ssh://"):
            # As Docker's command does. It reads the user's ssh configuration.
            options["use_ssh_client"] = True
        return options


def find_endpoint(environment: Mapping[str, str]) -> Endpoint:
    """Return the engine of DOCKER_HOST, else of DOCKER_CONTEXT, else of the context that `docker context use` set.

    Raises `EngineFault` if that context does not exist.
    """
    if address := environment.get("DOCKER_HOST"):
        tls = {name: environment[name] for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH") if name in environment}
        return Endpoint(address, tls)
    folder = configuration_folder(environment)
    variable = environment.get("DOCKER_CONTEXT")
    name = variable or _current_context(folder)
    if name == _DEFAULT_CONTEXT:
        return Endpoint(DEFAULT_ADDRESS)
    return _of_context(name, folder, "DOCKER_CONTEXT" if variable else "`docker context use`")


def configuration_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of Docker's configuration: DOCKER_CONFIG, else .docker in the home directory."""
    if folder := environment.get("DOCKER_CONFIG"):
        return Path(folder)
    return Path(environment.get("HOME") or Path.home()) / ".docker"


def _current_context(folder: Path) -> str:
    """Return the name of the current context. Docker's command, too, ignores a configuration that it cannot read."""
    try:
        name = json.loads((folder / "config.json").read_text()).get("currentContext")
    except (OSError, ValueError, AttributeError):
        return _DEFAULT_CONTEXT
    return name if isinstance(name, str) and name else _DEFAULT_CONTEXT


def _of_context(name: str, folder: Path, origin: str) -> Endpoint:
    key = hashlib.sha256(name.encode()).hexdigest()
    try:
        docker = json.loads((folder / "contexts" / "meta" / key / "meta.json").read_text())["Endpoints"]["docker"]
        address, verify = str(docker.get("Host") or DEFAULT_ADDRESS), not docker.get("SkipTLSVerify")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise EngineFault(
            f"Docker: there is no context {name}, which {origin} names",
            hint="`docker context ls` lists the contexts; `docker context use default` selects this machine's Docker",
        ) from error
    tls = folder / "contexts" / "tls" / key / "docker"
    return Endpoint(address, tls=tls if tls.is_dir() else None, verify=verify)
