"""The wire of AWS's APIs: signed requests in, values in the shapes of botocore's models out. It knows no balancer."""

from __future__ import annotations
