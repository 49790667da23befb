"""The process of a local cloud: MiniStack, pinned, with what the payment platform needs beyond it.

Each module is one concern and holds the functions that replace or complete MiniStack's own; importing it installs
them. :mod:`~localcloud.emulator.upstream` holds every replaced function to the source it was written for.
"""
