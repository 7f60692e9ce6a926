"""The ready services, each written with the public names of trionet only.

Duty: what many back ends need and nobody wants to write again.
May import: trionet.
"""

from trionet.services.launcher import Launcher as Launcher
from trionet.services.launcher import LaunchRefused as LaunchRefused
from trionet.services.remote_node import RemoteNode as RemoteNode

__all__ = ["LaunchRefused", "Launcher", "RemoteNode"]


def _claim_public_names() -> None:
    """Let each public name say that it lives here: in error texts, logs and the reference."""
    for name in __all__:
        globals()[name].__module__ = __name__


_claim_public_names()
