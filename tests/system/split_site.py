"""A site whose target group `web` is divided with its alternate group, before listeners that respond with a name."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.balancer.alternate import Alternate, alternate_name, with_alternates
from pipeline.balancer.model import Target
from tests.support.ports import free_ports
from tests.support.waiting import DEADLINE, until
from tests.system.alb import CHECK, OWNER, Alb, Answer

HOME, ALTERNATE = "web", alternate_name("web")
# On a busy machine, a check may be answered late.
CALM = {**CHECK, "interval": "1s", "timeout": "900ms", "unhealthy_threshold": 2}


def says(text: str) -> dict[str, Any]:
    """Return the action of a response."""
    return {"fixed_response": {"status_code": 200, "message_body": f"<{text}>"}}


class SplitSite:
    """`old` is the target of the home group, `new` that of its alternate group, and `api` that of another group."""

    def __init__(self, alb: Alb) -> None:
        self.alb = alb
        self._ports = dict(zip(("old", "new", "api"), free_ports(3), strict=True))

    def declare(self, *listeners: Mapping[str, Any], attributes: Mapping[str, Any] | None = None) -> None:
        """Declare listeners, without an alternate group. `attributes`: those of the home group."""
        answers = [{"port": port, "default_action": says(name)} for name, port in self._ports.items()]
        groups: dict[str, dict[str, Any]] = {
            HOME: {"health_check": CALM, "attributes": attributes or {}},
            "api": {"health_check": CALM},
        }
        self.alb.declare(*(listeners or ({"default_action": {"forward": HOME}},)), *answers, groups=groups)
        found = self.alb.balancer.registry().declaration(OWNER)
        assert found is not None
        self.declared = found

    def serve(self) -> None:
        """Register all targets of groups in use, and wait until they are healthy."""
        used = {"old": HOME, "new": ALTERNATE} | ({"api": "api"} if self.declared.uses("api") else {})
        for name, group in used.items():
            self.alb.balancer.register(OWNER, group, Target(id=name, address="127.0.0.1", port=self._ports[name]))
        for group in used.values():
            until(lambda group=group: [s for _, s in self.alb.states(group)] == ["healthy"], "it is healthy")  # type: ignore[misc]

    def shift(self, share: float, test_traffic: Any = None) -> None:
        """Give the alternate group a share."""
        declaration = with_alternates(self.declared, {HOME: Alternate(share, test_traffic)})
        self.alb.balancer.apply(OWNER, declaration)

    def ask(self, *headers: tuple[str, str], **more: Any) -> str:
        """Return the name that responds to a request on a new connection."""
        return name_of(self.alb.ask("/", "GET", *headers, **more))

    def shares(self, requests: int) -> Counter[str]:
        """Return the number of responses of each name, for sequential requests on one connection."""
        with socket.create_connection(("127.0.0.1", self.alb.port), timeout=DEADLINE) as connection:
            found = Counter[str]()
            for _ in range(requests // 100):
                connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n" * 100)
                answers = b""
                while answers.count(b"<") < 100 or not answers.endswith(b">"):
                    answers += connection.recv(65536)
                found.update(name.decode() for name in re.findall(rb"<(\w+)>", answers))
        return found


def name_of(answer: Answer) -> str:
    """Return the name in a response."""
    assert answer.status == 200, answer
    return answer.text.strip("<>")
