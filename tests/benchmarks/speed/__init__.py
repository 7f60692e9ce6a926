"""The workloads W1 to W10: each beside the least that raw Trio needs for the same work, and beside peers."""
