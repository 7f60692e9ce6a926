"""The network: links, harbor, master and slave; the only layer with both Trio and bytes.

It may import wire, kernel and the values.
"""
