"""The process of a local cloud: a pinned MiniStack, extended by the features that the payment platform needs.

Each module covers one concern and holds functions that replace or complete MiniStack's own. Importing the module
installs them. :mod:`~localcloud.emulator.upstream` checks that MiniStack's source is still the one they were written
for.
"""
