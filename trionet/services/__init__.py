"""The ready services, each written with the public names of trionet only.

Duty: what many back ends need and nobody wants to write again.
May import: trionet.
"""

from trionet.services.chain_tree import trace_tree as trace_tree
from trionet.services.console import Console as Console
from trionet.services.datacenter_client import DatacenterClient as DatacenterClient
from trionet.services.datacenter_client import datacenter as datacenter
from trionet.services.datacenter_service import Datacenter as Datacenter
from trionet.services.datacenter_values import BadPath as BadPath
from trionet.services.datacenter_values import Change as Change
from trionet.services.datacenter_values import DatacenterAway as DatacenterAway
from trionet.services.datacenter_values import DatacenterBusy as DatacenterBusy
from trionet.services.datacenter_values import Entry as Entry
from trionet.services.datacenter_values import NotABranch as NotABranch
from trionet.services.datacenter_values import StorageFailed as StorageFailed
from trionet.services.datacenter_values import WatchOverflow as WatchOverflow
from trionet.services.inspection import NoSuchLevel as NoSuchLevel
from trionet.services.launcher import Launcher as Launcher
from trionet.services.launcher import LaunchRefused as LaunchRefused
from trionet.services.measures import Collected as Collected
from trionet.services.measures import MemoryStatistics as MemoryStatistics
from trionet.services.measures import NodeLoad as NodeLoad
from trionet.services.measures import ServiceLoad as ServiceLoad
from trionet.services.multicast import Messages as Messages
from trionet.services.multicast import SubscriberStatistics as SubscriberStatistics
from trionet.services.multicast import SubscriberTooSlow as SubscriberTooSlow
from trionet.services.multicast import Topic as Topic
from trionet.services.remote_node import RemoteNode as RemoteNode
from trionet.services.tracer import Tracer as Tracer
from trionet.services.tracer import collect_trace as collect_trace
from trionet.services.tracer import recent_traces as recent_traces
from trionet.services.unique import query as query
from trionet.services.unique import unique as unique

__all__ = [
    "BadPath",
    "Change",
    "Collected",
    "Console",
    "Datacenter",
    "DatacenterAway",
    "DatacenterBusy",
    "DatacenterClient",
    "Entry",
    "LaunchRefused",
    "Launcher",
    "MemoryStatistics",
    "Messages",
    "NoSuchLevel",
    "NodeLoad",
    "NotABranch",
    "RemoteNode",
    "ServiceLoad",
    "StorageFailed",
    "SubscriberStatistics",
    "SubscriberTooSlow",
    "Topic",
    "Tracer",
    "WatchOverflow",
    "collect_trace",
    "datacenter",
    "query",
    "recent_traces",
    "trace_tree",
    "unique",
]


def _claim_public_names() -> None:
    """Let each public name say that it lives here: in error texts, logs and the reference."""
    for name in __all__:
        globals()[name].__module__ = __name__


_claim_public_names()
