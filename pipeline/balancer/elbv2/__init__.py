"""AWS's ELBv2 API over the balancer: its 51 operations, from and to the shapes of botocore's model. A noun per file."""
