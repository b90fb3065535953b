"""An agent: a process beside HAProxy that keeps a part of the kernel as HAProxy's servers are."""
