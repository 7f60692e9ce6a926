"""One measurement, in this process: ``python -m tests.benchmarks.speed.one MODULE:FUNCTION ARGUMENTS``.

The arguments are a JSON array; figures are written to standard output, as a JSON object.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from functools import partial

import trio


def main(function: str, arguments: str) -> None:
    """Measure and print."""
    module, _, name = function.partition(":")
    run = partial(getattr(importlib.import_module(f"tests.benchmarks.speed.{module}"), name))
    run = partial(run, *json.loads(arguments))
    figures = trio.run(run) if inspect.iscoroutinefunction(run.func) else run()
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
