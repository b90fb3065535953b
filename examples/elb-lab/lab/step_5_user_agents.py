"""Step 5: routing by the header User-Agent."""

from __future__ import annotations

from lab.finding import Finding
from lab.laboratory import Laboratory

TITLE = "routing by User-Agent"
ALB = "http://198.18.1.10:8800"
REQUESTS = {
    ("Mozilla/5.0 (X11; Linux x86_64)", "/"): "web",
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0)", "/"): "mobile",
    ("Mozilla/5.0 (Linux; ANDROID 14)", "/"): "mobile",
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0)", "/dev/"): "mobile",
}


def play(lab: Laboratory) -> list[Finding]:
    """Roll out the service for phones, and ask as a desktop and as phones."""
    lab.run("pipeline validate mobile.yaml")
    lab.run("pipeline run -f mobile.yaml", brief=True)
    findings = []
    for (agent, path), service in REQUESTS.items():
        (row,) = lab.ask(f"client --by service -n 10 -H 'User-Agent: {agent}' {ALB}{path}")
        findings.append(Finding.equal(f"{path} as {agent}", service, row["SERVICE"]))
    return findings
