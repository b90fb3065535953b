"""What a service is to the endpoint: a name, an API version and operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ACCOUNT = "000000000000"


@dataclass(frozen=True)
class Call:
    """One request, verified and parsed.

    `owner` is that of the access key. `region` is the one of the signature, which is the region that the client is set
    to. `parameters` has botocore's names and types: `str`, `int`, `float`, `bool`, `bytes`, an aware `datetime`, `list`
    and `dict`. It keeps the constraints of the model (required, enums, lengths, ranges, patterns). A parameter that the
    client left out is missing. A list that the client sent empty is `[]`.

    `token` is empty for clients. A stack gives one to each call that makes something, so that the id follows from it.
    """

    owner: str
    region: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""
    account: str = ACCOUNT
    token: str = ""


Operation = Callable[[Call], Mapping[str, Any]]
"""Carries out a call and returns its result in the output shape of botocore's model.

A member that is missing or None is left out of the response; an empty list is printed. A name that the shape does not
have is a mistake of the operation, and answered as an internal failure. A result without members is `{}`.

Raises `AwsError` for what the client is to see. A `ConfigError` becomes `ValidationError` (`ValidationException` in
JSON), and any other `PenstockError` becomes `ServiceUnavailable` with status 503, after which clients try again.
Anything else is logged, and answered as `InternalFailure`. Called from many threads at once.
"""


@dataclass(frozen=True)
class Service:
    """One AWS API.

    `name` is botocore's, such as `elbv2`, and `version` the API version in its model. `scope` is the name in clients'
    signatures (`signingName` in the model, or else `endpointPrefix`), such as `elasticloadbalancing`. Two services may
    have the same scope and different versions. An operation of the model that is missing in `operations` is answered
    with the reason in `refused`, or else by `InvalidAction`.
    """

    name: str
    version: str
    scope: str
    operations: Mapping[str, Operation]
    refused: Mapping[str, str] = field(default_factory=dict)
