"""Validation of JSON Web Tokens, as ELB's `jwt-validation` action does it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.balancer.model.resource import Resource

_RESERVED = ("iss", "exp", "nbf", "iat")


def _claim(text: str) -> str:
    if text in _RESERVED:
        raise ValueError(f"{text} is checked anyway")
    return text


class Claim(Resource):
    """One more claim that the token has to hold."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$"), AfterValidator(_claim)] = Field(
        description="The claim's name."
    )
    format: Literal["single-string", "string-array", "space-separated-values"] = Field(
        "single-string", description="How the claim holds its values."
    )
    values: tuple[Annotated[str, Field(pattern=r"^[!-~]{1,128}$")], ...] = Field(
        min_length=1, max_length=10, description="Values, of which the claim has to hold one."
    )


class JwtValidation(Resource):
    """What a token in `Authorization: Bearer …` must be: signed by RS256, of this issuer, not expired."""

    jwks: str = Field(
        min_length=1,
        description="The issuer's public keys (JWKS): an https:// address, or a file relative to this one.",
    )
    issuer: str = Field(pattern=r"^[!-~]{1,256}$", description="What the claim `iss` must be.")
    additional_claims: tuple[Claim, ...] = Field((), max_length=10, description="Other claims that must hold.")
