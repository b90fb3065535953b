"""The flow agent: it keeps the kernel's table of network load balancers as HAProxy's servers are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pipeline.balancer.agent.agent import Agent
from pipeline.balancer.flows.flow_keeper import FlowKeeper
from pipeline.balancer.flows.process import SOCKET
from pipeline.balancer.haproxy.naming import FLOW_STATE_SOCKET


def main() -> None:
    """Run the agent of the directory that the command line names."""
    os.chdir(sys.argv[1])
    Agent(FlowKeeper(Path()), SOCKET, FLOW_STATE_SOCKET).run()


if __name__ == "__main__":
    main()
