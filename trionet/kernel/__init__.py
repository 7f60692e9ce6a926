"""The kernel: services on one node.

It has Trio, but no sockets and no bytes: the network is one hook (:mod:`trionet.kernel.router`).
It may import the values (errors, handle, message, config), never wire or net.
"""
