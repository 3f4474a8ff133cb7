"""The journal: an append-only record of runs, committed before anything outside can see what follows from it.

``interface`` says what every journal promises. ``sqlite`` keeps a journal in one file, ``memory`` in the process.
``integrity`` finds damage.
"""
