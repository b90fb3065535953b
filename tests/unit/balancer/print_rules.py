"""Print the lines and files that 99 rules are rendered to. Run as a program with different hash seeds."""

from __future__ import annotations

import sys

from pipeline.balancer.haproxy.rules import RuleMatching
from tests.unit.balancer.rules import rule

rules = [rule(n, [f"h{n}-?.a.test", f"?{n}.b.test"], [f"/p{n}*x", f"/q{n}*x"]) for n in range(1, 100)]
matching = RuleMatching(rules, "l")
sys.stdout.write(f"{list(matching.lines())} {sorted(matching.files().items())}\n")
