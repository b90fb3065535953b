"""The gateway agent: it keeps the path of packets through appliances as HAProxy's servers are.

The kernel carries the packets, also while the agent does not run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pipeline.balancer.agent.agent import Agent
from pipeline.balancer.gateway.gateway_keeper import GatewayKeeper
from pipeline.balancer.gateway.packet_path import PacketPath
from pipeline.balancer.gateway.path.gateway_path import GatewayPath
from pipeline.balancer.gateway.process import SOCKET
from pipeline.balancer.gateway.rights import keep_rights
from pipeline.balancer.haproxy.naming import GATEWAY_STATE_SOCKET


def main() -> None:
    """Run the agent of the directory that the command line names."""
    os.chdir(sys.argv[1])
    Agent(GatewayKeeper(Path(), _open_path), SOCKET, GATEWAY_STATE_SOCKET).run()


def _open_path() -> PacketPath:
    path = GatewayPath.open(Path())
    # To adopt what another agent has left takes more rights than to keep it.
    keep_rights()
    return path


if __name__ == "__main__":
    main()
