"""The network: links, harbor, master and slave over Trio streams.

Duty: what carries messages between nodes.
May import: the values, wire, kernel, Trio, sockets.
"""
