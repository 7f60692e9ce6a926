"""The entry for programs: one node in one Trio run, stopped by signals.

Duty: from ``main`` to an exit code, with SIGINT and SIGTERM in between (C13), in a cluster or alone.
May import: the network, the kernel and the values.
"""

from trionet.program._network import open_harbor as open_harbor
from trionet.program._parent import LIFELINE_FD as LIFELINE_FD
from trionet.program._parent import READY_FD as READY_FD
from trionet.program._parent import Parent as Parent
from trionet.program._run import EXIT_CRASH as EXIT_CRASH
from trionet.program._run import EXIT_CUT_OFF as EXIT_CUT_OFF
from trionet.program._run import EXIT_OK as EXIT_OK
from trionet.program._run import EXIT_USAGE as EXIT_USAGE
from trionet.program._run import Launch as Launch
from trionet.program._run import run as run
from trionet.program._run import run_node as run_node
from trionet.program._signals import Stage as Stage
from trionet.program._signals import StopSignals as StopSignals
from trionet.program._standing import NoConsole as NoConsole
