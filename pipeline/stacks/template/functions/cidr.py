"""Fn::Cidr."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from pipeline.stacks.template.compiler import Compiler
from pipeline.stacks.template.expression import Expression
from pipeline.stacks.template.functions.function import listed
from pipeline.stacks.template.scope import Scope
from pipeline.stacks.template.values import JSON, Absent, Path, Value, scalar_text

_SHAPE = (
    "Template error: every Fn::Cidr object requires two or three parameters, (1) a CIDR block, (2) the number of "
    "blocks to make, from 1 to 256, and (3) the number of bits of each block's addresses"
)
_MAX_COUNT = 256
_DEFAULT_BITS = {4: "8", 6: "64"}


@dataclass(frozen=True)
class Cidr(Expression):
    """A list of blocks of addresses in another block."""

    block: Expression
    count: Expression
    bits: Expression | None

    def evaluate(self, scope: Scope) -> Value:
        values = [part.evaluate(scope) for part in self.parts()]
        if Absent.UNKNOWN in values:
            return Absent.UNKNOWN
        block, count, *bits = [scalar_text(value) or "" for value in values]
        try:
            network = ipaddress.ip_network(block, strict=False)
            prefix = network.max_prefixlen - int(bits[0] if bits else _DEFAULT_BITS[network.version])
            number = int(count)
        except ValueError:
            raise scope.error(_SHAPE, self.path) from None
        if not 1 <= number <= _MAX_COUNT or not 0 <= prefix <= network.max_prefixlen:
            raise scope.error(_SHAPE, self.path)
        if prefix < network.prefixlen or number > 2 ** (prefix - network.prefixlen):
            reason = f"Template error: Fn::Cidr cannot make {number} blocks of /{prefix} in {block}"
            raise scope.error(reason, self.path)
        return [str(subnet) for subnet in islice(network.subnets(new_prefix=prefix), number)]

    def parts(self) -> Iterable[Expression]:
        return (self.block, self.count) if self.bits is None else (self.block, self.count, self.bits)


def cidr(compiler: Compiler, argument: JSON, path: Path) -> Expression:
    items = listed(compiler, argument, path, range(2, 4), _SHAPE)
    if any(isinstance(item, list) for item in items):
        raise compiler.error(_SHAPE, path)
    block, count, *bits = [compiler.value(item, (*path, index)) for index, item in enumerate(items)]
    return Cidr(path, block, count, bits[0] if bits else None)


COMPILERS = {"Fn::Cidr": cidr}
