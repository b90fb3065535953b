"""The functions of templates, a group per file. `COMPILERS` has the one that checks and builds each."""

from __future__ import annotations

from pipeline.stacks.template.compiler import Compile
from pipeline.stacks.template.functions import assertions, choice, cidr, logic, lookup, reference, substitution, text

COMPILERS: dict[str, Compile] = {
    **assertions.COMPILERS,
    **choice.COMPILERS,
    **cidr.COMPILERS,
    **logic.COMPILERS,
    **lookup.COMPILERS,
    **reference.COMPILERS,
    **substitution.COMPILERS,
    **text.COMPILERS,
}
