"""Options that every tool of this package takes, and passes on to ``@tool``."""

import os
from collections.abc import Callable, Sequence
from typing import TypedDict

from greenroom.messages.core.times import Seconds
from greenroom.messages.options.policy import OnEvaluatorError, OnReject, Retry
from greenroom.workflows.authoring.step import Evaluators, Shares


class ToolOptions(TypedDict, total=False):
    """Options of ``@tool``; see there.

    Attributes:
        timeout: Seconds one attempt may take before its process is killed.
        retry: How often and when it is tried again.
        crash_attempts: Deaths of its process before the call is quarantined.
        once: At most once: after a crash its outcome is unknown.
        memory_mb: Memory that its process may allocate, in MiB.
        cpu: CPU seconds of one attempt.
        open_files: Descriptors that its process may have open at once.
        processes: Processes that one attempt may have besides its own.
        network: Whether its process has a network.
        workdir: Folder that its process works in.
        env: Names of environment variables that it may see.
        approve: Whether a person must approve each call that an agent makes, or a function that decides it.
        accept: Evaluators that must accept its result.
        threshold: Lowest score with which an evaluator accepts it.
        on_reject: What to do with a rejected result.
        on_evaluator_error: What to do with a result if an evaluator failed.
        sample: Evaluators that rate a share of its results in the background.
    """

    timeout: Seconds | None
    retry: Retry
    crash_attempts: int
    once: bool
    memory_mb: int | None
    cpu: Seconds | None
    open_files: int | None
    processes: int | None
    network: bool
    workdir: str | os.PathLike[str] | None
    env: Sequence[str]
    approve: bool | Callable[..., bool]
    accept: Evaluators
    threshold: float
    on_reject: OnReject
    on_evaluator_error: OnEvaluatorError | None
    sample: Shares | None
