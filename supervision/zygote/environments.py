"""The environment variables of one app's workers, worked out again only when those of the orchestrator have changed."""

import os
from collections.abc import Mapping

from greenroom.messages.secrets.redaction import Redactor, redactor_of, secret_values
from greenroom.supervision.policy import worker_environment
from greenroom.supervision.policy.worker_environment import Given


class Environments:
    """What the import of an app and each of its workers get of the orchestrator's environment.

    To tell secrets from other variables reads every name and every value. That takes longer than the rest of a start
    together, and the answer is the same for all workers with the same limits. Reactor thread only.

    Args:
        given: What the app is given by name.
    """

    def __init__(self, given: Given) -> None:
        """Work nothing out yet."""
        self._given = given
        self._outside: dict[str, str] = {}
        self._shared: dict[str, str] | None = None
        self._of_workers: dict[tuple[str, ...], tuple[Mapping[str, str], Redactor]] = {}
        """By the names in a worker's limits."""

    def shared(self) -> Mapping[str, str]:
        """Return the variables that the import sees, and every worker with it."""
        self._look()
        if self._shared is None:
            self._shared = worker_environment.inherited(self._outside, self._given)
        return self._shared

    def withheld(self) -> tuple[str, ...]:
        """Return the names of the variables that workers get only by name."""
        self._look()
        return worker_environment.withheld(self._outside, self._given)

    def of_worker(self, names: tuple[str, ...]) -> tuple[Mapping[str, str], Redactor]:
        """Return all variables of a worker, and what takes the secrets among them out of texts.

        Args:
            names: The variables that are named in the worker's own limits.
        """
        shared = self.shared()
        found = self._of_workers.get(names)
        if found is None:
            environ = {**shared, **{name: self._outside[name] for name in names if name in self._outside}}
            found = self._of_workers[names] = environ, redactor_of(secret_values(environ, names))
        return found

    def _look(self) -> None:
        """Forget what was worked out where the orchestrator's environment has changed since."""
        outside = worker_environment.set_outside(os.environ, self._given)
        if outside != self._outside:
            self._outside, self._shared = outside, None
            self._of_workers.clear()
