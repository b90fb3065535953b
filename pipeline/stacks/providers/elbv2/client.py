"""ELBv2's operations as providers call them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import JsonValue

from pipeline.aws.errors import AwsError
from pipeline.aws.service import Call
from pipeline.balancer.balancer import Balancer
from pipeline.balancer.elbv2.api import Api
from pipeline.balancer.elbv2.network import Network
from pipeline.balancer.elbv2.service import elbv2_service
from pipeline.balancer.elbv2.view import View
from pipeline.balancer.registry import Registry
from pipeline.balancer.resources import BalancerResource
from pipeline.stacks.provider import StackContext


@dataclass(frozen=True)
class _TokenApi(Api):
    """An API whose first new resource has an id that is given."""

    ids: Iterator[str] = field(default_factory=lambda: iter(()))

    def new(self, call: Call, **kept: JsonValue) -> dict[str, Any]:
        """Return the common fields of a resource."""
        fields = super().new(call, **kept)
        return {**fields, "id": next(self.ids, fields["id"])}

    def change(self, call: Call, change: Callable[[View], Registry], *, soon: bool = False) -> View:  # noqa: ARG002
        """Change the registry. A resource of a stack is complete when the data plane has it."""
        return super().change(call, change)


@dataclass(frozen=True)
class Elbv2:
    """The ELBv2 API of a home, for the owner of a stack. What it makes is made by the stack."""

    balancer: Balancer
    network: Network
    context: StackContext

    def __call__(self, operation: str, token: str = "", /, **parameters: Any) -> Mapping[str, Any]:
        """Carry out an operation. Parameters that are None are left out. What it makes has the id of the token."""
        ids = iter((made_id(token),) if token else ())
        api = _TokenApi(self.balancer, self.network, self.context.made_by, ids)
        given = {name: value for name, value in parameters.items() if value is not None}
        return elbv2_service(api).operations[operation](replace(self.call, parameters=given))

    @property
    def api(self) -> Api:
        """The operations' access to the registry."""
        return Api(self.balancer, self.network, self.context.made_by)

    @cached_property
    def call(self) -> Call:
        """A call without parameters."""
        return Call(self.context.owner, self.context.region, account=self.context.account)

    def view(self) -> View:
        """Return what the owner has."""
        return self.api.view(self.call)

    def made(self, kind: str, token: str) -> str | None:
        """Return the ARN of what was made with a token. `kind` is the registry's name of such resources."""
        view = self.view()
        found: BalancerResource | None = getattr(view.registry, kind).get(made_id(token))
        return view.arn(found) if found and found.owner == self.context.owner else None

    def tags(self, own: Mapping[str, str]) -> dict[str, str]:
        """Return the tags of the stack, and those of its resource."""
        return {**self.context.tags, **own}


def made_id(token: str) -> str:
    """Return the id of what is made with a token."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def is_missing(error: AwsError) -> bool:
    """Return whether an operation has failed because its resource does not exist."""
    return error.code.endswith("NotFound")
