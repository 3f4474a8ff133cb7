"""The environment variables of an app's workers, computed again only when the orchestrator's environment changes."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from greenroom.messages.secrets.redaction import Redactor, redactor_of, secret_values
from greenroom.supervision.policy import worker_environment
from greenroom.supervision.policy.worker_environment import Given

if TYPE_CHECKING:  # the first keeper starts before it is imported
    from greenroom.messages.frames.worker import WorkerSpec


class Environments:
    """The environment variables of an app's import and of its workers. Reactor thread only.

    The detection of secrets reads every name and every value. That takes longer than the rest of a start, and the
    result is the same for all workers with the same limits.

    Args:
        given: The variables that the app is given by name.
        by_kind: The variables that each kind of worker gets by name, because the app's definitions need them. Filled
            when the app is loaded, and shared by all backends of the app.
    """

    def __init__(self, given: Given, by_kind: dict[str, tuple[str, ...]] | None = None) -> None:
        """Keep the arguments; nothing is computed yet."""
        self._given = given
        self._by_kind = {} if by_kind is None else by_kind
        self._outside: dict[str, str] = {}
        self._shared: dict[str, str] | None = None
        self._of_workers: dict[tuple[str, ...], tuple[Mapping[str, str], Redactor]] = {}
        """By the names in a worker's limits."""

    def shared(self) -> Mapping[str, str]:
        """Return the variables of the import and of all workers."""
        self._look()
        if self._shared is None:
            self._shared = worker_environment.inherited(self._outside, self._given)
        return self._shared

    def note_needed(self, by_kind: Mapping[str, tuple[str, ...]]) -> None:
        """Remember which variables each kind of worker gets by name. Called when the app was loaded."""
        self._by_kind.clear()
        self._by_kind.update(by_kind)

    def of_kind(self, spec: "WorkerSpec") -> "WorkerSpec":
        """Return the specification of a worker, with the variables of its kind among those that it gets by name."""
        needed = self._by_kind.get(spec.kind)
        if not needed:
            return spec
        names = tuple(dict.fromkeys((*spec.limits.env, *needed)))
        return spec.model_copy(update={"limits": spec.limits.model_copy(update={"env": names})})

    def withheld(self) -> tuple[str, ...]:
        """Return the names of the variables that workers get only by name."""
        self._look()
        return worker_environment.withheld(self._outside, self._given)

    def of_worker(self, names: tuple[str, ...]) -> tuple[Mapping[str, str], Redactor]:
        """Return all variables of a worker, and a redactor for the secrets among them.

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
        """Discard the results if the orchestrator's environment has changed since they were computed."""
        outside = worker_environment.set_outside(os.environ, self._given)
        if outside != self._outside:
            self._outside, self._shared = outside, None
            self._of_workers.clear()
