"""Malformed inputs by the thousand and trainings that are killed: ``python -m tests.reliability``.

The small form runs with the tests, the large one writes ``docs/reliability.md``.
"""
