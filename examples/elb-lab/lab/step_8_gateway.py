"""Step 8: an NLB, a gateway load balancer and an ALB in a row, and an appliance that drops an attack."""

from __future__ import annotations

from lab.finding import Finding
from lab.laboratory import Laboratory

TITLE = "NLB, gateway load balancer, ALB: every packet inspected"
REQUESTS = 40
URL = "http://198.18.1.30:8900"


def play(lab: Laboratory) -> list[Finding]:
    """Ask through all three load balancers, with and without the text that the appliances drop."""
    lab.run("python apps.py start")
    try:
        lab.run("pipeline run -f gateway.yaml", brief=True)
        lab.run("python apps.py register")
        (good,) = lab.ask(f"client -n {REQUESTS} --by service {URL}/")
        (bad,) = lab.ask(f"client -n 4 --by service {URL}/attack")
        (again,) = lab.ask(f"client -n {REQUESTS} --by service {URL}/attac")
        lab.run("pipeline balancer endpoints")
        lab.run("pipeline balancer")
    finally:
        lab.run("python apps.py stop")
    return [
        Finding.equal("answers to good requests", f"{REQUESTS} of apps", f"{good['REQUESTS']} of {good['SERVICE']}"),
        Finding.equal("requests that contain the bad text", "4 TimeoutError", f"{bad['REQUESTS']} {bad['SERVICE']}"),
        Finding.equal("good requests afterwards", f"{REQUESTS} of apps", f"{again['REQUESTS']} of {again['SERVICE']}"),
    ]
