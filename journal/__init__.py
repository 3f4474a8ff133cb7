"""The journal: an append-only record of runs, written before anything becomes visible.

``protocol`` says what every journal promises; ``memory`` keeps that promise for the life of a process, ``sqlite`` for
the life of a disk.
"""
