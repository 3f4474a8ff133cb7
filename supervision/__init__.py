"""Supervision of worker processes: start, monitoring, restart and shutdown.

User code runs in worker processes. Any of them may be killed, hang, run out of memory or send garbage, and this package
does not prevent that. Its rule is that of Erlang's OTP: let it crash, isolated, below a supervisor that decides what
happens next. The supervisors form a tree:

    root ── one backend per app      starts processes (forked from a warm zygote, or spawned)
         └─ pools                    workers of one kind: one queue, one restart policy
            └─ worker slots          "tool-1": an id that its successive processes share

As an example, a tool kills its own worker with SIGKILL. The kernel reports it, and the report becomes a value:

    >>> from greenroom.messages.core.failures import Exit
    >>> end = Exit(kind="signaled", signal="SIGKILL")

Two decisions follow. They are separate, because a death ends a *process* while an exception fails only a *message*.

**The process:** a strategy selects the workers that start again. With the default, ``one_for_one``, no other worker is
restarted.

    >>> from greenroom.supervision.policy.restart_strategy import Child, plan
    >>> workers = [Child("tool-1"), Child("tool-2"), Child("tool-3")]
    >>> plan("one_for_one", workers, dead="tool-2", exit=end).start
    ('tool-2',)
    >>> plan("rest_for_one", workers, dead="tool-2", exit=end).start
    ('tool-2', 'tool-3')

A backoff sets the delay: none after a healthy life, and longer ones after several failures in a row. The restart
intensity limits the number of restarts: a pool with more than five uncharged deaths within a minute is degraded. It
then refuses the jobs that wait, while the rest of the tree continues.

    >>> from greenroom.supervision.policy.restart_backoff import restart_delay
    >>> [restart_delay(streak, 0.5) for streak in range(5)]
    [0.0, 0.1, 0.2, 0.4, 0.8]
    >>> from greenroom.supervision.policy.restart_intensity import RestartIntensity
    >>> intensity = RestartIntensity(max_restarts=5, within=60.0)
    >>> for second in range(6):
    ...     intensity = intensity.died(now=second)
    >>> intensity.exceeded
    True

**The message:** the crash is charged to the message that was running, and not to others that only shared the process.
An injected crash is charged to no message. The step's policy then decides, as for every other failure:

    >>> from greenroom.messages.options.policy import Retry, StepOptions
    >>> from greenroom.workflows.decisions.steps.retry_policy import PastAttempt, next_attempt
    >>> steady = StepOptions(retry=Retry(jitter=0.0))
    >>> crash = PastAttempt("crash")
    >>> next_attempt(steady, [crash], elapsed=0.0, unit=0.5)
    Again(delay=1.0, solo=False)
    >>> next_attempt(steady, [crash, crash], elapsed=1.0, unit=0.5)
    Again(delay=2.0, solo=True)
    >>> next_attempt(steady, [crash, crash, crash], elapsed=3.0, unit=0.5)
    GiveUp(reason='quarantined')

The second retry runs *solo*, alone in a fresh worker, so that a third death has only one suspect. A message that kills
its workers is quarantined and cannot degrade the pool: deaths charged to a message never count against the pool.

All of these are pure functions, in ``policy``. ``pool`` and ``tree`` carry out their decisions on the reactor's thread
and never block. ``jobs`` has the types that the rest of the project uses.
"""
