"""The kernel data plane for network load balancers: nftables distributes flows, conntrack counts and cuts them."""
