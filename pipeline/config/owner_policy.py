"""What the policy of an owner says of calls of the AWS APIs and of stacks."""

from __future__ import annotations

from pipeline.base.home import Home
from pipeline.config.policy_file import read_policy


def allowed_networks(home: Home, owner: str) -> tuple[str, ...] | None:
    """Return the networks that endpoints of an owner may attach by an API or a stack, as `AttachedNetwork.reference`.

    None: all. Raises `ConfigError` for a policy with mistakes.
    """
    return read_policy(home.policy(owner)).endpoint_networks
