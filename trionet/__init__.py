"""trionet: services on Trio, in one process or in a cluster of them.

The layers, lowest first; each imports only what stands before it:

* values: :mod:`~trionet.handle`, :mod:`~trionet.errors`, :mod:`~trionet.message`, :mod:`~trionet.config`,
  :mod:`~trionet.cluster_config`, :mod:`~trionet.cluster_events`, :mod:`~trionet.console_config`,
  :mod:`~trionet.metrics_config`
* ``wire`` (bytes in, events out; no Trio) and ``kernel`` (services on one node; no sockets, no bytes)
* ``net`` (links, harbor, master and slave)
* ``services`` (ready-made services, written with the names below)
* ``configfile`` (settings from files) and :mod:`~trionet.logs`
* :mod:`~trionet.program` and ``cli``

Everything that is public is named here, in ``trionet.testing`` or in ``trionet.services``.
"""

import types

from trionet._version import __version__ as __version__
from trionet.cluster_config import ClusterConfig as ClusterConfig
from trionet.cluster_events import ClusterEvent as ClusterEvent
from trionet.cluster_events import GroupChanged as GroupChanged
from trionet.cluster_events import Leaving as Leaving
from trionet.cluster_events import MasterBack as MasterBack
from trionet.cluster_events import MasterLost as MasterLost
from trionet.cluster_events import NameAdded as NameAdded
from trionet.cluster_events import NameRemoved as NameRemoved
from trionet.cluster_events import NodeGone as NodeGone
from trionet.cluster_events import NodeUp as NodeUp
from trionet.config import LogConfig as LogConfig
from trionet.config import NodeConfig as NodeConfig
from trionet.config import TraceConfig as TraceConfig
from trionet.configfile import Override as Override
from trionet.configfile import ServiceConfig as ServiceConfig
from trionet.configfile import Settings as Settings
from trionet.configfile import load_settings as load_settings
from trionet.console_config import ConsoleConfig as ConsoleConfig
from trionet.errors import BadArguments as BadArguments
from trionet.errors import BadMessage as BadMessage
from trionet.errors import CallError as CallError
from trionet.errors import ClusterError as ClusterError
from trionet.errors import ConfigError as ConfigError
from trionet.errors import DeadlineExceeded as DeadlineExceeded
from trionet.errors import Deadlock as Deadlock
from trionet.errors import HarborTaken as HarborTaken
from trionet.errors import InternalError as InternalError
from trionet.errors import MasterUnreachable as MasterUnreachable
from trionet.errors import NameTaken as NameTaken
from trionet.errors import NodeDown as NodeDown
from trionet.errors import NodeStopping as NodeStopping
from trionet.errors import NoReply as NoReply
from trionet.errors import NoSuchClass as NoSuchClass
from trionet.errors import NoSuchCommand as NoSuchCommand
from trionet.errors import NoSuchService as NoSuchService
from trionet.errors import RemoteError as RemoteError
from trionet.errors import ServiceBusy as ServiceBusy
from trionet.errors import ServiceExited as ServiceExited
from trionet.errors import ServiceRestarting as ServiceRestarting
from trionet.errors import StartFailed as StartFailed
from trionet.errors import Superseded as Superseded
from trionet.errors import TrionetError as TrionetError
from trionet.handle import Handle as Handle
from trionet.kernel.classes import find_class as find_class
from trionet.kernel.command import BoundCommand as BoundCommand
from trionet.kernel.command import Command as Command
from trionet.kernel.command import command as command
from trionet.kernel.context import RequestInfo as RequestInfo
from trionet.kernel.context import current_request as current_request
from trionet.kernel.dead_letters import DeadLetter as DeadLetter
from trionet.kernel.dead_letters import DeadLetters as DeadLetters
from trionet.kernel.deferred import Reply as Reply
from trionet.kernel.deferred import defer as defer
from trionet.kernel.gathering import Outcome as Outcome
from trionet.kernel.gathering import Selection as Selection
from trionet.kernel.gathering import gather as gather
from trionet.kernel.gathering import select as select
from trionet.kernel.network import Cluster as Cluster
from trionet.kernel.node import Node as Node
from trionet.kernel.node import open_node as open_node
from trionet.kernel.profile import CommandStatistics as CommandStatistics
from trionet.kernel.service import Service as Service
from trionet.kernel.snapshots import Snapshot as Snapshot
from trionet.kernel.spans import Span as Span
from trionet.kernel.spec import Spec as Spec
from trionet.kernel.spec import spec as spec
from trionet.kernel.statistics import HandlerStatistics as HandlerStatistics
from trionet.kernel.statistics import LinkReport as LinkReport
from trionet.kernel.statistics import NodeStatistics as NodeStatistics
from trionet.kernel.statistics import Sample as Sample
from trionet.kernel.statistics import ServiceStatistics as ServiceStatistics
from trionet.kernel.stream import BoundStream as BoundStream
from trionet.kernel.stream import Stream as Stream
from trionet.kernel.stream import stream as stream
from trionet.kernel.stream_reader import StreamCall as StreamCall
from trionet.kernel.stream_reader import StreamReader as StreamReader
from trionet.kernel.stream_reader import StreamStatistics as StreamStatistics
from trionet.kernel.supervise import Restart as Restart
from trionet.kernel.tapping import MessageEvent as MessageEvent
from trionet.kernel.watch import Exit as Exit
from trionet.kernel.watch import Watch as Watch
from trionet.logs import ServiceFilter as ServiceFilter
from trionet.logs import setup_logging as setup_logging
from trionet.message import value as value
from trionet.metrics_config import MetricsConfig as MetricsConfig
from trionet.net.console_door import ConsoleDoor as ConsoleDoor
from trionet.net.harbor import Harbor as Harbor
from trionet.net.value_codec import ValueCodec as ValueCodec
from trionet.program import run as run

__all__ = [
    "BadArguments",
    "BadMessage",
    "BoundCommand",
    "BoundStream",
    "CallError",
    "Cluster",
    "ClusterConfig",
    "ClusterError",
    "ClusterEvent",
    "Command",
    "CommandStatistics",
    "ConfigError",
    "ConsoleConfig",
    "ConsoleDoor",
    "DeadLetter",
    "DeadLetters",
    "DeadlineExceeded",
    "Deadlock",
    "Exit",
    "GroupChanged",
    "Handle",
    "HandlerStatistics",
    "Harbor",
    "HarborTaken",
    "InternalError",
    "Leaving",
    "LinkReport",
    "LogConfig",
    "MasterBack",
    "MasterLost",
    "MasterUnreachable",
    "MessageEvent",
    "MetricsConfig",
    "NameAdded",
    "NameRemoved",
    "NameTaken",
    "NoReply",
    "NoSuchClass",
    "NoSuchCommand",
    "NoSuchService",
    "Node",
    "NodeConfig",
    "NodeDown",
    "NodeGone",
    "NodeStatistics",
    "NodeStopping",
    "NodeUp",
    "Outcome",
    "Override",
    "RemoteError",
    "Reply",
    "RequestInfo",
    "Restart",
    "Sample",
    "Selection",
    "Service",
    "ServiceBusy",
    "ServiceConfig",
    "ServiceExited",
    "ServiceFilter",
    "ServiceRestarting",
    "ServiceStatistics",
    "Settings",
    "Snapshot",
    "Span",
    "Spec",
    "StartFailed",
    "Stream",
    "StreamCall",
    "StreamReader",
    "StreamStatistics",
    "Superseded",
    "TraceConfig",
    "TrionetError",
    "ValueCodec",
    "Watch",
    "__version__",
    "command",
    "current_request",
    "defer",
    "find_class",
    "gather",
    "load_settings",
    "open_node",
    "run",
    "select",
    "setup_logging",
    "spec",
    "stream",
    "value",
]


def _claim_public_names() -> None:
    """Let each public name say that it lives here: in error texts, logs and the reference."""
    for name in __all__:
        thing = globals()[name]
        if isinstance(thing, type | types.FunctionType):  # a union of classes belongs to nobody
            thing.__module__ = __name__


_claim_public_names()
