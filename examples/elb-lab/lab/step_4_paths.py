"""Step 4: path-based routing. Two other pipelines add rules to the ALB's listener."""

from __future__ import annotations

from lab.finding import Finding
from lab.laboratory import Laboratory

TITLE = "path-based routing"
ALB = "http://198.18.1.10:8800"
EXPECTED = {"/": "web", "/dev": "dev", "/dev/a/b.html": "dev", "/devices": "web", "/mgt/": "mgt", "/MGT/": "web"}


def play(lab: Laboratory) -> list[Finding]:
    """Roll out the services of two paths, and ask for paths that match and that do not."""
    for name in ("dev", "mgt"):
        lab.run(f"pipeline validate {name}.yaml")
        lab.run(f"pipeline run -f {name}.yaml", brief=True)
    rows = lab.ask(f"client -n {10 * len(EXPECTED)} --by path,service {' '.join(ALB + path for path in EXPECTED)}")
    lab.run(f"pipeline balancer explain {ALB}/dev/a/b.html")
    lab.run(f"pipeline balancer explain {ALB}/MGT/")
    seen = {path: ", ".join(row["SERVICE"] for row in rows if row["PATH"] == path) for path in EXPECTED}
    return [Finding.equal(path, service, seen[path]) for path, service in EXPECTED.items()]
