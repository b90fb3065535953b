"""Step 2: a look at each part, before requests go through the load balancer."""

from __future__ import annotations

from ipaddress import ip_address

from lab.finding import Finding
from lab.laboratory import CLIENT, Laboratory

TITLE = "the infrastructure, checked part by part"


def play(lab: Laboratory) -> list[Finding]:
    """Ask the servers one by one, without the load balancer."""
    addresses = lab.run("ip -netns elb-lab -brief -4 address show dev eth0")
    outputs = dict(line.split()[:2] for line in lab.run("pipeline stack outputs lab").splitlines())
    lab.run(f"pipeline status -f {outputs['File']}")
    lab.run("pipeline balancer")
    targets = lab.balancer().target_health("web", "web")
    findings = [Finding.equal("the client's address", CLIENT, addresses.split()[2].split("/")[0])]
    for health in targets:
        address = health.target.address
        (row,) = lab.ask(f"python client.py --by service,packet_source http://{address}:8080/")
        findings += [
            Finding.equal(f"{address} is", "healthy", str(health.state)),
            Finding.equal(f"{address} answers as", "web", row["SERVICE"]),
            Finding(
                f"{address} sees packets from",
                "an address of this machine",
                row["PACKET_SOURCE"],
                ip_address(row["PACKET_SOURCE"]).is_private,
            ),
        ]
    return findings
