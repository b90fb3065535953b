"""A project whose service is behind a network load balancer, at an address that other machines reach."""

from __future__ import annotations

from collections.abc import Mapping

from tests.docker.project import Project
from tests.support.paths import ROOT

_BALANCER = """\
balancer:
  target_groups:
    web:
      protocol: {protocol}
      port: {target_port}
      deregistration_delay: {delay}
      health_check: {{interval: 200ms}}
      attributes: {attributes}
  load_balancers:
    edge:
      type: network
      address: {host}
      listeners: [{{protocol: {protocol}, port: {port}, default_action: {{forward: web}}}}]
"""
_TEST = "  test: {command: [python3, -m, unittest], timeout: 30s}\n"


def deploy_flows(
    project: Project,
    host: str,
    files: Mapping[str, str],
    *,
    protocol: str = "TCP",
    target_port: int = 5000,
    delay: str = "3s",
    attributes: str = "{}",
) -> None:
    """Replace the application by `files`, and deploy it as version 1. Asserts that the kernel carries its flows."""
    project.git("rm", "--quiet", "-r", "--force", "app.py", "test_app.py")
    for name, content in files.items():
        project.write(name, content)
    written = _BALANCER.format(
        protocol=protocol, target_port=target_port, delay=delay, attributes=attributes, host=host, port=project.port
    )
    text = (project.directory / "pipeline.yaml").read_text().partition("balancer:\n")[0]
    assert _TEST in text
    project.write("pipeline.yaml", text.replace(_TEST, "") + written)
    project.commit("1")
    listener = f"://localhost:{project.port}"
    assert f"{listener} is carried by the kernel" in project.pipeline("plan").out
    project.pipeline("run")


def echo_files(protocol: str = "TCP") -> dict[str, str]:
    """Return the files of an example, which answers with its version and the client's address."""
    example = ROOT / "examples" / ("udp" if protocol == "UDP" else "tcp")
    server = (example / "server.py").read_text().replace('f"{VERSION} ".', 'f"{VERSION} {self.client_address[0]} ".')
    assert "{self.client_address[0]}" in server
    return {"server.py": server, "Dockerfile": (example / "Dockerfile").read_text()}
