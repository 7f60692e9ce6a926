"""The protocols, without a network: bytes in, events out.

Duty: what the bytes between nodes mean, each protocol as a state machine.
May import: the values and the standard library, but no socket, no clock and no randomness; the codec alone
imports cbor2.
"""
