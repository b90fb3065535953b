"""The picture of a load balancer, from the model that the control API gives. Pure."""
