"""Models of the queries of the control API's endpoints: what follows the `?` of an address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipeline.balancer.log_filter import LogFilter, parse_method, parse_path, parse_seconds, parse_statuses
from pipeline.balancer.telemetry.traffic_follower import MAX_SECONDS
from pipeline.base.quantity import parse_duration
from pipeline.base.suggestion import did_you_mean
from pipeline.base.whole_number import LARGEST, whole_number
from pipeline.event_severity import Severity, kinds_named

Q = TypeVar("Q", bound="Query")


class Query(BaseModel):
    """The query of a request. Unknown parameters are rejected. A tuple is a parameter that may be repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def fields(cls) -> dict[str, FieldInfo]:
        """Return the parameters by their names in the query."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    @classmethod
    def parameters(cls) -> list[dict[str, Any]]:
        """Return the parameters for the OpenAPI description."""
        schema = cls.model_json_schema(mode="validation")
        return [
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": found.pop("description", ""),
                "schema": {key: value for key, value in found.items() if key not in ("title", "default")},
            }
            for name, found in schema["properties"].items()
        ]


class QueryMistake(ValueError):
    """A parameter that is wrong. The text begins with its name."""


def read_query(request: Request, form: type[Q]) -> Q:
    """Return the query of a request. Raises `HTTPException` for a parameter that is unknown, repeated or wrong."""
    given: dict[str, Any] = {}
    for name in dict.fromkeys(request.query_params):
        values = request.query_params.getlist(name)
        field = form.fields().get(name)
        if field is None:
            raise HTTPException(400, f"unknown parameter {name[:40]!r}; {did_you_mean(name, form.fields())}")
        is_repeatable = get_origin(field.annotation) is tuple
        if len(values) > 1 and not is_repeatable:
            raise HTTPException(400, f"{name}: must be given once")
        given[name] = values if is_repeatable else values[0]
    try:
        return parse_query(form, given)
    except QueryMistake as mistake:
        raise HTTPException(400, str(mistake)) from None


def parse_query(form: type[Q], given: Mapping[str, Any]) -> Q:
    """Return a query of these parameters. Raises `QueryMistake` for one that is wrong."""
    try:
        return form.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise QueryMistake(f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None


def _checked(parse: Callable[[str], object]) -> BeforeValidator:
    """Return a validator that keeps a text which `parse` accepts."""

    def check(text: str) -> str:
        parse(text)
        return text

    return BeforeValidator(check)


Pipeline = Annotated[str | None, Field(description="A pipeline's name. Default: all.")]


class TrafficQuery(Query):
    """Which traffic to show."""

    pipeline: Pipeline = None
    group: str | None = Field(None, description="A target group, as the access log names it: `PIPELINE.GROUP`.")
    seconds: int = Field(300, ge=1, le=MAX_SECONDS, description="Length of the window that ends now.")
    step: int = Field(5, ge=1, le=MAX_SECONDS, description="Seconds of a step.")


class AccessLogQuery(Query):
    """Which entries of the access log to show."""

    pipeline: Pipeline = None
    status: Annotated[str | None, _checked(parse_statuses)] = Field(
        None, description="What the client got: `502`, `5XX`, `400-499` or a list such as `404,5XX`."
    )
    path: Annotated[str | None, _checked(parse_path)] = Field(
        None, description="A pattern of the path without the query, such as `/api/*`."
    )
    target: str | None = Field(None, description="The address of a target, with or without its port, or its ID.")
    group: str | None = Field(None, description="A target group, as the entries name it: `PIPELINE.GROUP`.")
    method: Annotated[str | None, _checked(parse_method)] = Field(None, description="The method, such as `GET`.")
    slower: Annotated[str | None, _checked(parse_seconds)] = Field(
        None, description="The least time until the target responds, such as `0.5` seconds or `500ms`."
    )
    before: str | None = Field(None, description="The position to continue before: `next` of the previous page.")
    limit: int = Field(100, ge=1, le=1000, description="The most entries.")

    def log_filter(self, address: str | None) -> LogFilter:
        """Return the filter. `address` is that of the target."""
        return LogFilter(
            statuses=parse_statuses(self.status) if self.status else (),
            path=parse_path(self.path) if self.path else None,
            target=address,
            group=self.group,
            owner=self.pipeline,
            method=parse_method(self.method) if self.method else None,
            slower_than=parse_seconds(self.slower) if self.slower else None,
        )


class BalancerQuery(Query):
    """Which load balancers to show."""

    pipeline: str | None = Field(
        None, description="A pipeline's name: its rules, its target groups and those with its targets. Default: all."
    )


class ExplainQuery(Query):
    """A request, a connection to a network load balancer, or a packet at an endpoint, whose way is explained."""

    url: str = Field(
        description="Its URL, such as `http://shop.example.com:8080/path`. For a connection `tcp://192.0.2.7:5432`."
    )
    method: str = Field("GET", description="Its method.")
    header: tuple[str, ...] = Field((), description="A header, such as `X-Release: next`.")
    source: str = Field("127.0.0.1", description="The address of its client, for a packet with its port.")
    endpoint: str = Field("", description="For a packet, the endpoint: `NAME`, `NAME.OWNER` or its id.")


def _known_kind(text: str) -> str:
    kinds_named([text])
    return text


class EventFilterQuery(Query):
    """Which events to show."""

    kind: tuple[Annotated[str, BeforeValidator(_known_kind)], ...] = Field(
        (), description="Kinds such as `run.finished`, or all of a noun, such as `target`."
    )
    severity: Severity | None = Field(None, description="The least severity: `info`, `warning` or `error`.")


def _start(text: str) -> str:
    if text != "now" and whole_number(text) is None:
        raise ValueError(f"must be a number or `now`, got {text[:40]!r}")
    return text


class EventStartQuery(Query):
    """Where a stream of events starts."""

    after: Annotated[str, BeforeValidator(_start)] = Field(
        "0", description="The id after which it starts, or `now` for events to come."
    )


class EventStreamQuery(EventStartQuery, EventFilterQuery):
    """Which events to stream."""


class EventPageQuery(EventFilterQuery):
    """Which events to list."""

    run: int | None = Field(None, ge=1, le=LARGEST, description="A run's number. Requires a pipeline.")
    before: int | None = Field(None, ge=1, le=LARGEST, description="List events with smaller ids than this one.")
    limit: int = Field(100, ge=1, le=1000, description="The most events.")


class PlanQuery(Query):
    """The commit of a run that is planned."""

    commit: str | None = Field(None, max_length=1000, description="A branch, tag or commit. Default: the usual branch.")


class RollbackPlanQuery(Query):
    """The release of a rollback that is planned."""

    release: int | None = Field(
        None, ge=1, le=LARGEST, description="The release. Default: the one before the active one."
    )


class TailQuery(Query):
    """How many lines of a log to read."""

    tail: int = Field(200, ge=0, le=10_000, description="The last lines that exist, at most so many.")


class RunLogQuery(Query):
    """Which lines of a run's log to read."""

    start: int | None = Field(
        None,
        alias="from",
        ge=0,
        le=LARGEST,
        description="Lines after this byte offset: 0, or the `next` of a response. Default: the last lines.",
    )
    tail: int = Field(200, ge=1, le=10_000, description="Without `from`: the last lines, at most so many.")


class LogQuery(TailQuery):
    """Which lines of the replicas and jobs to read."""

    service: str | None = Field(None, description="A service or a job. Default: all.")
    release: int | None = Field(None, ge=1, le=LARGEST, description="A release. Default: all.")
    replica: str | None = Field(None, description="The name of a container. Default: all.")
    since: Annotated[str | None, _checked(parse_duration)] = Field(
        None, description="Lines of this last time only, such as `10m`."
    )
    contains: str | None = Field(None, max_length=1000, description="Lines with this text only.")


class JobRunsQuery(Query):
    """Which runs of jobs to list."""

    job: str | None = Field(None, description="A job. Default: all.")
    limit: int = Field(20, ge=1, le=1000, description="The most runs.")


class OffsetQuery(Query):
    """Where to begin in a log."""

    offset: int = Field(0, ge=0, alias="from", description="Byte offset of the first line.")


class StackQuery(Query):
    """Whose stack is meant."""

    owner: str = Field("aws", description="The owner of the stack.")


class StackListQuery(StackQuery):
    """Which stacks to list."""

    deleted: bool = Field(False, description="Also list stacks that were deleted.")


class StackEventsQuery(StackQuery):
    """Which events of a stack to list."""

    limit: int = Field(100, ge=1, le=1000, description="The most events, the latest ones.")
