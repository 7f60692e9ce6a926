"""Measurements; no test fails because of time."""
