"""The journal: an append-only record of runs, written before anything becomes visible.

``interface`` says what every journal promises. ``memory`` keeps the promise as long as its process lives, ``sqlite`` as
long as its disk.
"""
