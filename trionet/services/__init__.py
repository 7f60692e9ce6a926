"""The ready services, each written with the public names of trionet only.

Duty: what many back ends need and nobody wants to write again.
May import: trionet.
"""

__all__: list[str] = []
