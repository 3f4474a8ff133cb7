"""The process backend for apps that cannot be forked: each worker is a new interpreter that imports the app."""

from greenroom.supervision.zygote.backend import ZygoteBackend


class SpawnBackend(ZygoteBackend):
    """A ``Backend`` like ``ZygoteBackend``, but without its warm start.

    Its zygote does not load the app, and each child executes a new interpreter. Limits and the handling of deaths are
    the same. ``start`` loads the app once in a separate process, to check that it can be loaded.
    """

    _fresh = True
