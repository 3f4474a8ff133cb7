"""Processes and their lives: the part that expects things to die.

User code runs in worker processes, and some day one of them will be killed, hang, run out of memory or send garbage.
Nothing here tries to prevent that. The rule is the one of Erlang's OTP: let it crash, in a place of its own, and have
somebody watching who knows what to do next. The watching is done by a tree:

    root ── one backend per app      makes processes (forked from a warm zygote, or spawned)
         └─ pools                    the workers that are alike: one queue, one restart policy
            └─ worker slots          "tool-1": an id that stays while its lives come and go

Let a small thing crash. A tool kills its own worker with SIGKILL. The kernel says so, and it becomes a value:

    >>> from greenroom.messages.core.failures import Exit
    >>> end = Exit(kind="signaled", signal="SIGKILL")

Two questions follow, and they are kept apart, because a death fails a *life* while an exception fails only a *message*.

**What becomes of the process?** A strategy says who begins again. With the default, ``one_for_one``, nobody else is
touched.

    >>> from greenroom.supervision.policy.restart_strategy import Child, plan
    >>> workers = [Child("tool-1"), Child("tool-2"), Child("tool-3")]
    >>> plan("one_for_one", workers, dead="tool-2", exit=end).start
    ('tool-2',)
    >>> plan("rest_for_one", workers, dead="tool-2", exit=end).start
    ('tool-2', 'tool-3')

A backoff says when: at once after a healthy life, ever later when lives in a row come to nothing. A budget says how
often: six deaths within a minute with nobody to blame, and restarting is no remedy any more. The pool is then degraded,
and says so to everyone who waits, while the rest of the tree goes on.

    >>> from greenroom.supervision.policy.restart_backoff import restart_delay
    >>> [restart_delay(streak, 0.5) for streak in range(5)]
    [0.0, 0.1, 0.2, 0.4, 0.8]
    >>> from greenroom.supervision.policy.restart_intensity import Budget
    >>> budget = Budget(max_restarts=5, within=60.0)
    >>> for second in range(6):
    ...     budget = budget.died(now=second)
    >>> budget.exceeded
    True

**What becomes of the message?** The crash is charged to the message that was running, to nobody who merely shared the
process, and to nobody at all if it was injected. The step's policy then decides, with the same words for every failure:

    >>> from greenroom.messages.policy import Retry, StepOptions
    >>> from greenroom.workflows.decisions.steps.retry_policy import PastAttempt, next_attempt
    >>> steady = StepOptions(retry=Retry(jitter=0.0))
    >>> crash = PastAttempt("crash")
    >>> next_attempt(steady, [crash], elapsed=0.0, unit=0.5)
    Again(delay=1.0, solo=False)
    >>> next_attempt(steady, [crash, crash], elapsed=1.0, unit=0.5)
    Again(delay=2.0, solo=True)
    >>> next_attempt(steady, [crash, crash, crash], elapsed=3.0, unit=0.5)
    GiveUp(reason='quarantined')

The second retry runs *solo*, alone in a fresh worker, so that a third death has one suspect only. A poisonous message
is set aside before it can take the pool down with it: deaths charged to a message never count against the pool's
budget.

All of these are pure functions of values. ``pool`` and ``tree`` carry their decisions out, on one thread, the
reactor's, and never block. ``protocol`` holds the words the rest of the project uses to talk to them.
"""
