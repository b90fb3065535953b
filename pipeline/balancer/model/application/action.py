"""Actions of rules and listeners. Names, ranges and meanings are ELB's (`Action` of its `elbv2` model)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from pipeline.balancer.model.alternate_group import PARTS, AlternateForward
from pipeline.balancer.model.application.jwt import JwtValidation
from pipeline.base.errors import FieldError
from pipeline.base.quantity import Duration, Whole
from pipeline.base.schema import Model, Name, Shorthand, between
from pipeline.base.whole_number import whole_number

_PLACEHOLDER = re.compile(r"#\{(protocol|host|port|path|query)\}")
MAX_GROUPS = 5
"""The target groups of a forward at most, as in ELB."""


def _template(text: str) -> str:
    if "#{" in _PLACEHOLDER.sub("", text):
        raise ValueError("must hold no placeholder other than #{protocol}, #{host}, #{port}, #{path} and #{query}")
    if not re.fullmatch(r"[!-~]*", text):
        raise ValueError("must be ASCII without spaces")
    return text


Template = Annotated[str, Field(max_length=128), AfterValidator(_template)]


class WeightedTargetGroup(Shorthand):
    """A target group and its share of the requests."""

    shorthand: ClassVar[str] = "target_group"

    target_group: Name = Field(description="The target group.")
    weight: Whole = Field(
        1, ge=0, le=999, description="Share of the requests, relative to the sum of the weights. 0: none."
    )
    # Only a deployment sets it. Left out of what is stored otherwise.
    alternate: SkipJsonSchema[AlternateForward | None] = Field(None, exclude_if=lambda value: value is None)

    def split(self) -> tuple[WeightedTargetGroup, ...]:
        """Return the group and its alternate, with weights in parts of the group's own weight."""
        if self.alternate is None:
            return (self._weighing(self.target_group, PARTS),)
        parts = self.alternate.parts
        return (
            self._weighing(self.target_group, PARTS - parts),
            self._weighing(self.alternate.target_group, parts),
        )

    def _weighing(self, name: str, parts: int) -> WeightedTargetGroup:
        # Not validated, because ELB's limit of 999 is one of users.
        return WeightedTargetGroup.model_construct(target_group=name, weight=self.weight * parts, alternate=None)


class GroupStickiness(Model):
    """Keeps a client with the target group that it was given first."""

    duration: Duration = Field(description="Time after the client's last request: 1s to 7d.")

    @field_validator("duration")
    @classmethod
    def _in_range(cls, value: timedelta) -> timedelta:
        return between(value, "1s", "7d", timedelta(seconds=1), timedelta(days=7))


class Forward(Shorthand):
    """Forwards the request to one target group, or to one of several by weight."""

    shorthand: ClassVar[str] = "target_groups"

    target_groups: tuple[WeightedTargetGroup, ...] = Field(
        min_length=1, max_length=MAX_GROUPS, description="One to five target groups."
    )
    stickiness: GroupStickiness | None = Field(None, description="Keeps a client with its target group, by a cookie.")

    @property
    def weighted_groups(self) -> tuple[WeightedTargetGroup, ...]:
        """All target groups with their weights, which may exceed 999 during a deployment: see `AlternateForward`."""
        if all(group.alternate is None for group in self.target_groups):
            return self.target_groups
        return tuple(part for group in self.target_groups for part in group.split())

    @property
    def group_stickiness(self) -> GroupStickiness | None:
        """Its stickiness, or that of an alternate group if it has none of its own."""
        found = (group.alternate.sticky_for for group in self.target_groups if group.alternate)
        duration = next(filter(None, found), None)
        return self.stickiness or (GroupStickiness(duration=duration) if duration else None)

    @field_validator("target_groups", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return value if isinstance(value, list | tuple) else [value]

    @model_validator(mode="after")
    def _usable(self) -> Self:
        names = [group.target_group for group in self.target_groups]
        if len(names) != len(set(names)):
            raise FieldError("target_groups", "must name each target group once")
        if not any(group.weight for group in self.target_groups):
            raise FieldError("target_groups", "must have a weight above 0")
        return self


class Redirect(Model):
    """Redirects the client to another URL. Parts that are left out stay as in the request."""

    protocol: Literal["HTTP", "HTTPS", "#{protocol}"] = Field("#{protocol}", description="The protocol.")
    host: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_template)] = Field(
        "#{host}", description="The host."
    )
    port: str = Field(
        "#{port}", pattern=r"^(\d{1,5}|#\{port\})$", description='The port, as text: `"443"` or `#{port}`.'
    )
    path: Annotated[Template, Field(pattern=r"^/")] = Field("/#{path}", description="The path, with its leading /.")
    query: Template = Field("#{query}", description="The query, without the leading ?.")
    status_code: Literal["HTTP_301", "HTTP_302"] = Field(description="HTTP_301: permanent. HTTP_302: temporary.")

    @field_validator("port", mode="before")
    @classmethod
    def _port_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("port")
    @classmethod
    def _port_exists(cls, value: str) -> str:
        if value.isdigit() and not whole_number(value, 65535):
            raise ValueError("must be between 1 and 65535")
        return value

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if (self.protocol, self.host, self.port, self.path) == ("#{protocol}", "#{host}", "#{port}", "/#{path}"):
            raise ValueError("must change protocol, host, port or path")
        return self


class FixedResponse(Model):
    """Responds without a target."""

    status_code: str = Field(pattern=r"^[245]\d\d$", description="A status code of 2XX, 4XX or 5XX.")
    content_type: Literal["text/plain", "text/css", "text/html", "application/javascript", "application/json"] = Field(
        "text/plain", description="The body's content type."
    )
    message_body: str = Field("", max_length=1024, description="The body.")

    @field_validator("status_code", mode="before")
    @classmethod
    def _status_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _body_fits(self) -> Self:
        if self.message_body and self.status_code == "204":
            raise FieldError("message_body", "must be empty for status 204")
        if "\0" in self.message_body:
            raise FieldError("message_body", "must be text")
        return self


class Action(Model):
    """The action for a request: exactly one of forward, redirect and fixed_response."""

    jwt_validation: JwtValidation | None = Field(
        None, description="Accepts only requests with a valid token. Others get 401. HTTPS listeners only."
    )
    forward: Forward | None = Field(None, description="The target group that gets the request, or several by weight.")
    redirect: Redirect | None = Field(None, description="The URL that the client is redirected to.")
    fixed_response: FixedResponse | None = Field(None, description="The response to the client.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(part is not None for part in (self.forward, self.redirect, self.fixed_response)) != 1:
            raise ValueError("must have exactly one of forward, redirect and fixed_response")
        return self

    def groups(self) -> tuple[WeightedTargetGroup, ...]:
        """Return the target groups that it may forward to, with their weights."""
        return self.forward.weighted_groups if self.forward else ()
