"""Translation of the SDK's errors into Penstock's, with hints."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.base.errors import CacheVanished, EngineFault, NetworkVanished, PortTaken, StageFailed

# Seconds that one response of the engine may take.
TIMEOUT = 60
DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
MAKE_ROOM = "free disk space; `docker system df` shows what uses it"
_HINTS = {
    "no space left": MAKE_ROOM,
    "non-overlapping IPv4 address pool": "remove networks that nothing uses: `docker network prune`",
    "cannot assign requested address": "its machine lacks this address; `pipeline doctor` names those that it has",
}
_HANGS = "if this repeats, see `journalctl --unit docker`, then restart Docker"
UNREADABLE = "does not support reading"
"""The engine's message for the output of a container whose log driver keeps none."""
# The builder's messages if another program removes its base image during the build.
VANISHED = re.compile(
    r"unknown parent image|failed to set parent|(unable to find image|No such image:|failed to get digest) \"?sha256:"
)
# The engine's messages for an object that vanishes while a request uses or removes it.
_GONE = re.compile(
    r"no such (image|container|network|exec|id)|(image|layer|reference|network) does not exist|unrecognized image ID|"
    r"network \S+ (id \S+ )?not found|is not running|already in progress|is (dead or )?marked for removal|"
    r"(imagedb|layerdb|containers)/\S*: no such file or directory|container \S+ has been removed",
    re.IGNORECASE,
)
_PORT_TAKEN = re.compile(r"port is already allocated|address already in use")
_NO_NETWORK = re.compile(r"network \S+ not found", re.IGNORECASE)
_LIMIT = re.compile(r"timeout=([0-9.]+)")
_ID = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


@contextmanager
def translate_errors(api: Any) -> Iterator[None]:
    """Translate what calls of `api` raise into `EngineFault`. `api` may also be the address of an engine."""
    import docker.errors
    import requests.exceptions
    import urllib3.exceptions

    try:
        yield
    except docker.errors.APIError as error:
        text = str(error.explanation or error)
        hint = next((hint for sign, hint in _HINTS.items() if sign in text), None)
        kind = PortTaken if _PORT_TAKEN.search(text) else EngineFault
        raise kind(f"Docker: {text}", hint=hint) from error
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        limit = _LIMIT.search(str(error))
        seconds = float(limit[1]) if limit else getattr(api, "timeout", None) or TIMEOUT
        raise unreachable(error, address_of(api), _call_of(error), seconds) from error


def _call_of(error: Exception) -> str:
    """Return the request that raised an error, empty if the error does not have it."""
    request: Any = getattr(error, "request", None)
    return f"{request.method} {request.path_url}" if hasattr(request, "path_url") else ""


def check_response(answer: Any) -> None:
    """Raise the SDK's error for a response that is one."""
    import docker.errors
    import requests.exceptions

    try:
        answer.raise_for_status()
    except requests.exceptions.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)


def address_of(api: Any) -> str:
    """Return the address that a client was given."""
    return api if isinstance(api, str) else str(getattr(api, "address", DEFAULT_ADDRESS))


def unreachable(error: Exception, address: str, call: str = "", seconds: float = TIMEOUT) -> EngineFault:
    """Return the error for an engine at `address` that could not be reached, from what a client raised.

    `call` is the request, such as `GET /v1.41/info`, and `seconds` what the engine had for the response.
    """
    text = str(error)
    if "Permission denied" in text:
        return EngineFault(
            f"permission denied by Docker at {address}", hint="add your user to the `docker` group, or run as root"
        )
    if any(sign in text for sign in ("No such file", "Connection refused", "FileNotFound")):
        return EngineFault(
            f"Docker is not running: no response at {address}",
            hint="start it with `systemctl start docker`",
        )
    if "timed out" in text.lower():
        return EngineFault(f"Docker at {address} did not respond within {seconds:g} s{_to(call)}", hint=_HANGS)
    with contextlib.suppress(IndexError):
        text = text.splitlines()[0]
    return EngineFault(
        f"connection to Docker at {address} failed: {text}", hint="check that Docker runs, then repeat the command"
    )


def _to(call: str) -> str:
    """Return a request in words, without the version of the API, the parameters, and most of a long id."""
    method, _, target = call.partition(" ")
    path = _ID.sub(r"\1", re.sub(r"^/v[0-9.]+(?=/)", "", target.partition("?")[0]))
    return f" to {method} {path}" if path else ""


def is_gone(error: Any) -> bool:
    """Return whether an error of the API means that an object is gone, not running, or being removed.

    Docker answers with 404, or with 409 or 500 if the object vanishes during the request.
    """
    return error.status_code == 404 or bool(
        error.status_code in (409, 500) and _GONE.search(str(error.explanation or error))
    )


@contextmanager
def ignore_not_found() -> Iterator[None]:
    """Ignore errors for an object that is gone, not running, or being removed."""
    import docker.errors

    try:
        yield
    except docker.errors.APIError as error:
        if not is_gone(error):
            raise


@contextmanager
def ignore_unreadable() -> Iterator[None]:
    """Ignore the error for the output of a container whose log driver keeps none."""
    import docker.errors

    try:
        yield
    except docker.errors.APIError as error:
        if UNREADABLE not in str(error.explanation):
            raise


@contextmanager
def as_stage_failure(name: str) -> Iterator[None]:
    """Raise `StageFailed` if Docker refuses a setting of pipeline.yaml or of the image."""
    import docker.errors

    try:
        yield
    except docker.errors.NotFound as error:
        kind = NetworkVanished if _NO_NETWORK.search(str(error.explanation)) else StageFailed
        raise kind(f"{name} cannot be started: {error.explanation}") from error
    except docker.errors.APIError as error:
        text = str(error.explanation)
        if "no space left" in text or (error.status_code == 500 and "OCI runtime" not in text):
            raise
        raise StageFailed(f"{name} cannot be started: {_essence(text)}") from error


def build_failed(error: str, last: list[str]) -> StageFailed | EngineFault:
    """Return the error for a build step that failed, with the step and the builder's last lines."""
    if VANISHED.search(error):
        return CacheVanished()
    lines = [line for line in error.strip().splitlines() if line.strip()]
    step = next((line for line in reversed(last) if line.startswith("Step ")), None)
    message = f"the build failed{f' in {step}' if step else ''}: {lines[-1] if lines else error}"
    if "no space left" in error:
        return EngineFault(message, hint=MAKE_ROOM, tail=tuple(last))
    return StageFailed(message, tail=tuple(last))


def _essence(text: str) -> str:
    """Return the last part of runc's nested message, which has the cause."""
    return re.split(r"(?:starting|start) container process(?: caused)?: ", text)[-1].replace(": unknown", "")
