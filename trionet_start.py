"""The command ``trionet``: lets a signal end the process quietly while Python still imports the package.

It stands outside the package because the import of the package is what takes the time.
"""

import importlib
import signal


def main() -> None:
    """Run the command line."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
    importlib.import_module("trionet.cli").main()
