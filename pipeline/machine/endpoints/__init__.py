"""Endpoint services and endpoints of gateway load balancers, as EC2's API shows and changes them."""
