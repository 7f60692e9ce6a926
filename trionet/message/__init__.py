"""Messages are values: which types may travel, and how a value is copied within a node (C1).

Duty: the registry of declared classes, and :func:`snapshot`, which every message, result and error passes
before anybody else sees it, on the local path and on the remote one.
May import: the standard library, attrs and the other values.

Its parts: how large a message may be (``_limits``), scalars that need no copy (``_plain``), the registry
(``_classes``) and the decorator that fills it (``_declaring``), the walk that copies (``_walk``), what it
refused and where that is (``_refusal``), the copies that the kernel asks for (``_snapshots``).
"""

from trionet.message._classes import ValueClass, rebuild, rebuild_exception, value_class
from trionet.message._declaring import value
from trionet.message._limits import ITEM_WEIGHT, MAX_INT_BITS, PART_WEIGHT, Limits
from trionet.message._plain import are_plain, is_plain, weight_of_plain
from trionet.message._snapshots import NO_CHECKS, check, snapshot, snapshot_arguments, weighed_snapshot
from trionet.message._walk import register_reference_class

__all__ = [
    "ITEM_WEIGHT",
    "MAX_INT_BITS",
    "NO_CHECKS",
    "PART_WEIGHT",
    "Limits",
    "ValueClass",
    "are_plain",
    "check",
    "is_plain",
    "rebuild",
    "rebuild_exception",
    "register_reference_class",
    "snapshot",
    "snapshot_arguments",
    "value",
    "value_class",
    "weighed_snapshot",
    "weight_of_plain",
]
