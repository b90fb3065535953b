"""Gateway load balancers: what the path of packets is to do, and the process that keeps it so."""
