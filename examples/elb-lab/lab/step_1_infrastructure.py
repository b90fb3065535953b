"""Step 1: the network, and the stack with the servers of the web page and their ALB."""

from __future__ import annotations

from lab.finding import Finding
from lab.laboratory import NETWORK, STACK, Laboratory

TITLE = "base infrastructure from templates"


def play(lab: Laboratory) -> list[Finding]:
    """Make what is missing. Safe to repeat."""
    if not lab.exists:
        lab.create_folder()
        lab.run("git init --quiet --initial-branch=main")
        lab.run("git add --all && git commit --quiet -m Templates")
    if not lab.has_network:
        lab.run("sh network.sh up")
    lab.run("pipeline stack validate lab.yaml")
    if not lab.has_stack:
        lab.run("pipeline stack create lab --template lab.yaml", brief=True)
    events = lab.run("pipeline stack events lab")
    return [
        Finding.equal("the last event of the stack", "CREATE_COMPLETE", _status(events, STACK)),
        Finding.equal("the last event of its resource Web", "CREATE_COMPLETE", _status(events, "Web")),
        Finding.equal("the client's network namespace", NETWORK, NETWORK if lab.has_network else "-"),
        Finding.equal("targets of the group web", 2, len(lab.balancer().target_health("web", "web"))),
    ]


def _status(events: str, name: str) -> str:
    """Return the status in the last event of a resource. Lines have date, time, name, type, status and a reason."""
    rows = [line.split() for line in events.splitlines()]
    return next((row[4] for row in reversed(rows) if row[2] == name), "-")
