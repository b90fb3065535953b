"""Network load balancers on two planes: HAProxy, and the kernel where it can carry a listener."""
