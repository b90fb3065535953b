"""What is done with a request. Names, ranges and meanings are ELB's (`Action` of its `elbv2` model)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.balancer.model.application.jwt import JwtValidation
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Duration, Whole
from pipeline.base.schema import Model, Name, Shorthand, between

_PLACEHOLDER = re.compile(r"#\{(protocol|host|port|path|query)\}")
_MOST_GROUPS = 5


def _template(text: str) -> str:
    if "#{" in _PLACEHOLDER.sub("", text):
        raise ValueError("may hold #{protocol}, #{host}, #{port}, #{path} and #{query}, and no other placeholder")
    if not re.fullmatch(r"[!-~]*", text):
        raise ValueError("must hold no space and only ASCII")
    return text


Template = Annotated[str, Field(max_length=128), AfterValidator(_template)]


class WeightedTargetGroup(Shorthand):
    """A target group and its share."""

    shorthand: ClassVar[str] = "target_group"

    target_group: Name = Field(description="The target group.")
    weight: Whole = Field(
        1, ge=0, le=999, description="Its share, relative to the sum of the weights. 0: it gets nothing."
    )


class GroupStickiness(Model):
    """Whether a client stays with the target group that it was given first."""

    duration: Duration = Field(description="How long after its last request, 1s to 7d.")

    @field_validator("duration")
    @classmethod
    def _in_range(cls, value: timedelta) -> timedelta:
        return between(value, "1s", "7d", timedelta(seconds=1), timedelta(days=7))


class Forward(Shorthand):
    """Which target groups get the request: one, or several by weight."""

    shorthand: ClassVar[str] = "target_groups"

    target_groups: tuple[WeightedTargetGroup, ...] = Field(
        min_length=1, max_length=_MOST_GROUPS, description="One to five target groups."
    )
    stickiness: GroupStickiness | None = Field(None, description="Keeps a client with its target group, by a cookie.")

    @field_validator("target_groups", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return value if isinstance(value, list | tuple) else [value]

    @model_validator(mode="after")
    def _usable(self) -> Self:
        names = [group.target_group for group in self.target_groups]
        if len(names) != len(set(names)):
            raise FieldError("target_groups", "names a target group twice")
        if not any(group.weight for group in self.target_groups):
            raise FieldError("target_groups", "has no weight above 0, so nobody would get a request")
        return self


class Redirect(Model):
    """Sends the client elsewhere. What is left out stays as the client had it."""

    protocol: Literal["HTTP", "HTTPS", "#{protocol}"] = Field("#{protocol}", description="The protocol.")
    host: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_template)] = Field(
        "#{host}", description="The host."
    )
    port: str = Field(
        "#{port}", pattern=r"^(\d{1,5}|#\{port\})$", description='The port, as text: `"443"` or `#{port}`.'
    )
    path: Annotated[Template, Field(pattern=r"^/")] = Field("/#{path}", description="The path, with its leading /.")
    query: Template = Field("#{query}", description="The query, without the leading ?.")
    status_code: Literal["HTTP_301", "HTTP_302"] = Field(description="HTTP_301 for good, HTTP_302 for now.")

    @field_validator("port", mode="before")
    @classmethod
    def _port_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("port")
    @classmethod
    def _port_exists(cls, value: str) -> str:
        if value.isdigit() and not 1 <= int(value) <= 65535:
            raise ValueError("must be between 1 and 65535")
        return value

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if (self.protocol, self.host, self.port, self.path) == ("#{protocol}", "#{host}", "#{port}", "/#{path}"):
            raise ValueError("would send the client where it is; change protocol, host, port or path")
        return self


class FixedResponse(Model):
    """Answers by itself."""

    status_code: str = Field(pattern=r"^[245]\d\d$", description="A status code of 2XX, 4XX or 5XX.")
    content_type: Literal["text/plain", "text/css", "text/html", "application/javascript", "application/json"] = Field(
        "text/plain", description="What the body is."
    )
    message_body: str = Field("", max_length=1024, description="The body.")

    @field_validator("status_code", mode="before")
    @classmethod
    def _status_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _body_fits(self) -> Self:
        if self.message_body and self.status_code == "204":
            raise FieldError("message_body", "is given, and an answer of status 204 has none")
        if "\0" in self.message_body:
            raise FieldError("message_body", "must be text")
        return self


class Action(Model):
    """What a listener does with a request: exactly one of forward, redirect and fixed_response."""

    jwt_validation: JwtValidation | None = Field(
        None, description="Lets only requests with a valid token through; the others get 401. HTTPS listeners only."
    )
    forward: Forward | None = Field(None, description="The target group that gets the request, or several.")
    redirect: Redirect | None = Field(None, description="Where the client is sent.")
    fixed_response: FixedResponse | None = Field(None, description="What the client is answered.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(part is not None for part in (self.forward, self.redirect, self.fixed_response)) != 1:
            raise ValueError("needs exactly one of forward, redirect and fixed_response")
        return self

    def groups(self) -> tuple[WeightedTargetGroup, ...]:
        """The target groups it may forward to."""
        return self.forward.target_groups if self.forward else ()
