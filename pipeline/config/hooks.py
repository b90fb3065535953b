"""`deploy.hooks`: what is run at the events of a deployment, under the names of CodeDeploy."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pipeline.balancer.model import Model
from pipeline.base.errors import FieldError, refuse
from pipeline.base.quantity import Duration, Whole, is_duration
from pipeline.base.schema import Shorthand, between
from pipeline.base.written import written
from pipeline.config.env_file import ENV_FILE, EnvFiles
from pipeline.config.environment import Environment
from pipeline.config.secrets import REFERENCE
from pipeline.config.steps import Command, Entrypoint

DEFAULT_TIMEOUT = timedelta(minutes=10)
PAUSE_TIMEOUT = timedelta(days=1)
"""The time-out of a pause, as in ECS."""
_WAYS = ("command", "host_command", "http", "pause")
# The ways of which each key is a part. The others are parts of all.
_PARTS = {
    "entrypoint": ("command",),
    "environment": ("command",),
    "env_file": ("command",),
    "stop_grace": ("command", "host_command"),
    "on_timeout": ("pause",),
}


class LifecycleEvent(StrEnum):
    """The events of a deployment of a service, in their order."""

    BEFORE_INSTALL = "BeforeInstall"
    AFTER_INSTALL = "AfterInstall"
    AFTER_ALLOW_TEST_TRAFFIC = "AfterAllowTestTraffic"
    BEFORE_ALLOW_TRAFFIC = "BeforeAllowTraffic"
    AFTER_ALLOW_TRAFFIC = "AfterAllowTraffic"


OF_ROLLING = (LifecycleEvent.BEFORE_INSTALL, LifecycleEvent.AFTER_ALLOW_TRAFFIC)
"""The events of a rolling deployment. It has no moment at which all new containers run and none gets traffic."""


def _url(value: str) -> str:
    if value and REFERENCE.fullmatch(value):
        return value
    try:
        parts = urlsplit(REFERENCE.sub("x", value))
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or not value.isprintable() or " " in value:
        raise ValueError(f"{value!r} is not a valid URL; write {_with_scheme(value) or 'https://HOST/…'}")
    return value


def _with_scheme(value: str) -> str:
    """Return the URL that was meant by a host with a path, or an empty text."""
    return f"http://{value}" if re.fullmatch(r"[\w.-]+:\d{1,5}(/[!-~]*)?", value) else ""


def _shown(url: str) -> str:
    parts = urlsplit(url)
    if not parts.netloc:
        # The whole URL is a secret, of which the name is shown.
        return url
    fields = (
        f"{name}=…" if is_pair else "…" for name, is_pair, _ in (f.partition("=") for f in parts.query.split("&"))
    )
    query = f"?{'&'.join(fields)}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"


def _true(value: object) -> object:
    if is_duration(value):
        raise ValueError(f"must be true, with its time beside it, got {value!r}; write pause: true, timeout: {value}")
    if value is not True:
        raise ValueError(f"must be true, or left out with its hook, got {written(value)}")
    return value


Pause = Annotated[Literal[True], BeforeValidator(_true)]
HookTimeout = Annotated[
    Duration, AfterValidator(lambda value: between(value, "1s", "30d", timedelta(seconds=1), timedelta(days=30)))
]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


class HttpCall(Shorthand):
    """A request from this machine. A POST, PUT or PATCH carries the variables of the hook as JSON."""

    example: ClassVar[str] = '{url: "https://example.com/deployed", method: POST}'
    shorthand: ClassVar[str] = "url"

    url: Annotated[str, AfterValidator(_url)] = Field(description="URL. May contain ${secret:NAME}.")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field("GET", description="Method.")
    headers: dict[HeaderName, str] = Field({}, description="Headers. May contain ${secret:NAME}.")
    expected_status: str = Field(
        "200-299",
        pattern=r"^\d{1,3}(-\d{1,3})?(,\d{1,3}(-\d{1,3})?)*$",
        description="Status codes with which the call succeeds, such as `200`, `200,204` or `200-299`. Redirects are "
        "not followed.",
    )
    retries: Whole = Field(
        0, ge=0, le=1000, description="How often the call is repeated after a failure, within the time-out of the hook."
    )
    interval: Duration = Field(
        timedelta(seconds=5),
        ge=timedelta(milliseconds=100),
        le=timedelta(hours=1),
        description="Time between two calls.",
    )
    attempt_timeout: Duration = Field(
        timedelta(seconds=30),
        ge=timedelta(milliseconds=100),
        le=timedelta(days=1),
        description="Maximum duration of one call.",
    )

    @field_validator("expected_status", mode="before")
    @classmethod
    def _status_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("expected_status")
    @classmethod
    def _status_in_range(cls, value: str) -> str:
        for low, high in _ranges(value):
            if not 100 <= low <= high <= 599:
                raise ValueError(f"must be status codes of 100 to 599, got {value!r}")
        return value

    @model_validator(mode="after")
    def _check_interval(self) -> Self:
        # A stored call has every key.
        is_stored = self.model_fields_set.issuperset(type(self).model_fields)
        if "interval" in self.model_fields_set and not self.retries and not is_stored:
            raise FieldError("interval", "requires retries, because it is the time between two calls")
        return self

    def expects(self, status: int) -> bool:
        """Return whether the call succeeds with a status code."""
        return any(low <= status <= high for low, high in _ranges(self.expected_status))


class Hook(Model):
    """Exactly one of command, host_command, http and pause. A failure rolls the release back."""

    example: ClassVar[str] = "{command: [./check.sh]}"

    command: Command | None = Field(
        None,
        description="Command that runs once in a new container of the new image, with the environment, the volumes and "
        "the network of the service. Replaces the image's CMD. It is passed to the image's ENTRYPOINT.",
    )
    entrypoint: Entrypoint | None = Field(
        None, description="Replaces the image's ENTRYPOINT for `command`, and then the image's CMD is not used."
    )
    environment: Environment = Field(
        {}, description="Variables of `command` in addition to those of the service. May contain ${secret:NAME}."
    )
    env_file: EnvFiles = Field((), exclude=True, description=ENV_FILE)
    host_command: Command | None = Field(
        None,
        description="Program with its arguments that runs on this machine, in the folder of the served file. A commit "
        "may run only those that the served file or the policy names.",
    )
    http: HttpCall | None = Field(
        None, description="Request from this machine. A commit may call only what the served file or the policy names."
    )
    pause: Pause | None = Field(
        None, description="`true`: wait for `pipeline promote`. `pipeline abort` rolls the release back."
    )
    on_timeout: Literal["rollback", "continue"] = Field(
        "rollback", description="What follows if a pause is not ended within its time-out."
    )
    timeout: HookTimeout | None = Field(
        None,
        description="Maximum duration, of a call with all its retries. After it, the hook has failed. None: 10m, and "
        "1d for a pause.",
    )
    stop_grace: Duration = Field(
        timedelta(seconds=10),
        description="Time from SIGTERM to SIGKILL when a command is stopped, after the time-out or when cancelled.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse(self._mistakes())
        return self

    def _mistakes(self) -> Iterator[FieldError]:
        given = [way for way in _WAYS if getattr(self, way) is not None]
        if len(given) != 1:
            *others, last = _WAYS
            yield FieldError(
                given[1] if given else (),
                f"exactly one of {', '.join(others)} and {last} is required, got {len(given)}",
            )
            return
        # A stored hook has every key, and one of pipeline.yaml only those that are written.
        is_stored = self.model_fields_set.issuperset(_WAYS)
        for key, ways in _PARTS.items():
            is_set = getattr(self, key) != type(self).model_fields[key].default
            if given[0] not in ways and (is_set or (key in self.model_fields_set and not is_stored)):
                yield FieldError(key, f"does not fit {given[0]}; it is a key of {' and '.join(ways)}")
        if self.host_command and not self.host_command[0].strip():
            yield FieldError(("host_command", 0), "must name a program")

    @property
    def limit(self) -> timedelta:
        """The maximum duration."""
        if self.timeout is not None:
            return self.timeout
        return PAUSE_TIMEOUT if self.pause else DEFAULT_TIMEOUT

    def describe(self) -> str:
        """Return what the hook does: `./smoke.sh --fast`, `GET http://127.0.0.1/check?key=…`, `pause`.

        Without secrets, and without the user, the password and the values of the query in a URL.
        """
        if self.http is not None:
            return f"{self.http.method} {_shown(self.http.url)}"
        return shlex.join(self.command or self.host_command or ("pause",))


class Hooks(Model):
    """What runs at each event of a deployment, in this order. A rollback runs none."""

    # The stages of ECS, and the events of CodeDeploy's deployments to servers.
    names_elsewhere: ClassVar[Mapping[str, str]] = {
        "PRE_SCALE_UP": "BeforeInstall",
        "POST_SCALE_UP": "AfterInstall",
        "TEST_TRAFFIC_SHIFT": "AfterAllowTestTraffic",
        "POST_TEST_TRAFFIC_SHIFT": "AfterAllowTestTraffic",
        "PRE_PRODUCTION_TRAFFIC_SHIFT": "BeforeAllowTraffic",
        "PRODUCTION_TRAFFIC_SHIFT": "AfterAllowTraffic",
        "POST_PRODUCTION_TRAFFIC_SHIFT": "AfterAllowTraffic",
        "ApplicationStart": "AfterInstall",
        "ValidateService": "AfterInstall",
    }

    before_install: tuple[Hook, ...] = Field(
        (), alias="BeforeInstall", description="Before the first new container of the service starts."
    )
    after_install: tuple[Hook, ...] = Field(
        (),
        alias="AfterInstall",
        description="Once all new containers are healthy, before they get requests. Not with `rolling`.",
    )
    after_allow_test_traffic: tuple[Hook, ...] = Field(
        (),
        alias="AfterAllowTestTraffic",
        description="Once requests of test traffic reach the new containers. Requires `strategy.test_traffic`.",
    )
    before_allow_traffic: tuple[Hook, ...] = Field(
        (),
        alias="BeforeAllowTraffic",
        description="Before the first requests of clients reach the new containers. Not with `rolling`.",
    )
    after_allow_traffic: tuple[Hook, ...] = Field(
        (), alias="AfterAllowTraffic", description="Once the new containers get all requests."
    )

    def of(self, event: LifecycleEvent) -> tuple[Hook, ...]:
        """Return the hooks of an event, in their order."""
        found: tuple[Hook, ...] = getattr(self, _field(event))
        return found

    def all(self) -> Iterator[tuple[LifecycleEvent, Hook]]:
        """Yield every hook with its event, in their order."""
        for event in LifecycleEvent:
            for hook in self.of(event):
                yield event, hook


def _field(event: LifecycleEvent) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", event).lower()


def _ranges(status: str) -> Iterator[tuple[int, int]]:
    for part in status.split(","):
        low, _, high = part.partition("-")
        yield int(low), int(high or low)
