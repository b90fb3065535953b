"""The pipeline.yaml of a service with one listener, which tests of the daemon serve."""

from __future__ import annotations

PIPELINE = """\
name: shop
deploy: {target_group: web}
balancer:
  target_groups: {web: {port: 8080}}
  load_balancers: {edge: {listeners: [{port: 8000, default_action: {forward: web}}]}}
"""
