"""The application load balancer: its listeners, rules, conditions, actions and target groups."""

from __future__ import annotations
