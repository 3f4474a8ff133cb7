"""The process backend for apps that cannot be forked: each worker is an interpreter of its own that imports the app."""

from greenroom.supervision.zygote.backend import ZygoteBackend


class SpawnBackend(ZygoteBackend):
    """A ``Backend`` with the promises of the zygote's and without its warm start.

    The same keeper and a zygote that loads nothing stand above the workers, so death, burial and limits are the very
    same; what differs is that a child executes a new interpreter. ``start`` loads the app once in a process of its own,
    to learn whether it can be loaded at all.
    """

    _fresh = True
