"""The path of packets through appliances: programs in the kernel, and what loads, writes and reads them.

`gate.c` carries the packets. Everything else runs only when the wanted state changes or is asked for. So packets go
on while no process of Penstock runs.

- Flow: the key of `flow_key.py` at one endpoint. Its first packet takes the target of the slot that its hash names.
  It stays with this target until the target is not listed any more, is rebalanced, or its flows were ended.
- TCP: only SYN begins a flow. Other packets without a flow are dropped (`no_flow`), as by AWS after the idle time. FIN
  from both sides, or RST, ends a flow with ports some seconds after its last packet. SYN ends a closed flow at once.
- Fragments have no ports: all those of two addresses and a protocol are one flow.
- ICMP errors belong to the flow that they report on. They do not begin or end a flow of TCP.
- Size: an inner packet has at most 8,500 bytes, and fits with 68 bytes more into the MTU of the target's link. Larger
  ones are dropped (`too_large`). As in AWS, no ICMP is sent and nothing is fragmented, also with DF. The devices of the
  attachments take no larger ones: `packet_sizes.py` says which, and the kernel tells the senders.
- Link-local and multicast packets, and ARP, stay on the link. They are dropped and not counted.
- Returned packets: to the address that the target sees, from the target of the flow, with AWS's three options in their
  order, of a known endpoint and attachment, with the flow's cookie. What fails is dropped with its reason. Only what is
  of an endpoint that is not ours is left to other programs and to the kernel.
- A packet leaves by the attachment whose prefix is the longest that has its destination. Nothing in it is changed.
"""
