"""The names of load balancers under `elb.internal`, and a DNS server for them."""
