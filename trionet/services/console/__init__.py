"""The debug console: a service that answers lines of text about its node and all others of the cluster.

Duty: the service; its commands are in modules by what they are for.
May import: trionet and the other services.
"""

from trionet.services.console.service import Console as Console
