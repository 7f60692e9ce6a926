"""The command line: one module a command.

Duty: read options, say what is wrong in one line each, end with the right exit code.
May import: everything below; nothing imports it.
"""

from trionet.cli.app import app as app
from trionet.cli.app import main as main
