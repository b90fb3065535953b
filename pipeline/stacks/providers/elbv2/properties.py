"""What the properties of ELBv2's types have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from pipeline.stacks.provider import Properties


class KeyValue(Properties):
    """A tag, or an attribute in AWS's words."""

    key: str
    value: str


class Certificate(Properties):
    """A certificate of ACM."""

    certificate_arn: str


def _named_certificates(value: Any) -> Any:
    # Templates with TLS as an option leave an empty certificate where they have none.
    return [each for each in value if each not in ({}, {"CertificateArn": ""})] if isinstance(value, list) else value


Certificates = Annotated[list[Certificate], BeforeValidator(_named_certificates)]
"""Certificates, without empty ones."""


def parameters(properties: Properties, *left_out: str) -> dict[str, Any]:
    """Return the properties that a template sets, as parameters of ELBv2's operations."""
    given: dict[str, Any] = properties.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {name: value for name, value in given.items() if name not in left_out and value is not None}


def pairs(values: tuple[KeyValue, ...]) -> dict[str, str]:
    """Return tags or attributes by their keys. Of a key that is given twice, the last one counts."""
    return {each.key: each.value for each in values}


def listed(values: dict[str, str]) -> list[dict[str, str]]:
    """Return tags or attributes as operations want them."""
    return [{"Key": key, "Value": value} for key, value in values.items()]
