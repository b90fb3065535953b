"""Step 1: the network, the templates, and the servers of the web page with their ALB."""

from __future__ import annotations

from lab.finding import Finding
from lab.laboratory import NETWORK, Laboratory

TITLE = "base infrastructure from templates"


def play(lab: Laboratory) -> list[Finding]:
    """Make what is missing. Safe to repeat."""
    if not lab.exists:
        lab.create_folder()
        lab.run("git init --quiet --initial-branch=main")
        lab.run("git add --all && git commit --quiet -m Templates")
    if not lab.has_network:
        lab.run("sh network.sh up")
    lab.run("pipeline validate web.yaml")
    lab.run("pipeline plan -f web.yaml")
    lab.run("pipeline run -f web.yaml", brief=True)
    return [
        Finding.equal("the client's network namespace", NETWORK, NETWORK if lab.has_network else "-"),
        Finding.equal("targets of the group web", 2, len(lab.balancer().target_health("web", "web"))),
    ]
