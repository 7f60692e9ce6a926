"""The testing kit: what tests of services and of clusters need.

Duty: what makes a test of a user short and exactly repeatable.
May import: everything of trionet; nothing of trionet imports it.
"""

__all__: list[str] = []
