"""The actions of listeners and rules as templates write them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline.stacks.provider import Properties


class WeightedGroup(Properties):
    """A target group with its share of the requests."""

    target_group_arn: str
    weight: int | None = Field(default=None, ge=0, le=999)


class GroupStickiness(Properties):
    """Whether a client stays with a target group."""

    enabled: bool | None = None
    duration_seconds: int | None = Field(default=None, ge=1, le=604800)


class ForwardConfig(Properties):
    """The target groups of an action."""

    target_groups: list[WeightedGroup] = Field(default_factory=list)
    target_group_stickiness_config: GroupStickiness | None = None


class RedirectConfig(Properties):
    """Where an action redirects to."""

    status_code: Literal["HTTP_301", "HTTP_302"]
    protocol: str | None = None
    port: str | None = None
    host: str | None = None
    path: str | None = None
    query: str | None = None


class FixedResponseConfig(Properties):
    """What an action answers."""

    status_code: str
    content_type: str | None = None
    message_body: str | None = None


class JwtClaim(Properties):
    """A claim that a token must have."""

    name: str
    format: Literal["single-string", "string-array", "space-separated-values"]
    values: list[str]


class JwtValidationConfig(Properties):
    """The tokens that an action accepts."""

    jwks_endpoint: str
    issuer: str
    additional_claims: list[JwtClaim] = Field(default_factory=list)


class Action(Properties):
    """An action. A log-in by the balancer is kept as it is written, and refused with the reason."""

    type: Literal[
        "forward", "redirect", "fixed-response", "jwt-validation", "authenticate-oidc", "authenticate-cognito"
    ]
    order: int | None = Field(default=None, ge=1, le=50000)
    target_group_arn: str | None = None
    forward_config: ForwardConfig | None = None
    redirect_config: RedirectConfig | None = None
    fixed_response_config: FixedResponseConfig | None = None
    jwt_validation_config: JwtValidationConfig | None = None
    authenticate_oidc_config: dict[str, Any] | None = None
    authenticate_cognito_config: dict[str, Any] | None = None
