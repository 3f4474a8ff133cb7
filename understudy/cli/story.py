"""Events told in words, for progress and for timelines."""

from understudy.messages import events


def tell(event: events.AnyEvent) -> str:  # noqa: C901, PLR0911, PLR0912  one line per kind of event
    """Give one line about an event, or nothing for those that another line already implies."""
    match event:
        case events.RunStarted():
            return f"run {event.run_id} of {event.workflow} started"
        case events.AttemptStarted():
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            return f"{event.key} runs in {event.worker} (pid {event.pid}){again}"
        case events.AttemptEnded(outcome="ok"):
            return ""
        case events.AttemptEnded():
            why = event.failure.sentence() if event.failure is not None else ""
            return f"{event.key} attempt {event.attempt}: {event.outcome}{f', {why}' if why else ''}"
        case events.StepEvaluated():
            scores = ", ".join(
                f"{one.name} {'gave no score' if one.score is None else format(one.score, '.2f')}"
                for one in event.evaluations
            )
            return f"{event.key} judged: {event.verdict} ({scores})"
        case events.RetryScheduled():
            return f"{event.key} will be tried again in {max(0.0, event.due - event.at):.2f} s, attempt {event.attempt}"
        case events.StepCompleted():
            return f"{event.key} done{', flagged for review' if event.flagged else ''}"
        case events.StepFailed():
            return f"{event.key} failed ({event.reason}): {event.failure.sentence()}"
        case events.TimerSet():
            return f"{event.key} waits {max(0.0, event.due - event.at):.2f} s"
        case events.ChildScheduled():
            return f"{event.key} is a run of its own: {event.run_id}"
        case events.ChildEnded():
            return f"{event.key}: run {event.run_id} has ended"
        case events.ProgramStarted():
            return f"the program runs in {event.worker} (pid {event.pid})"
        case events.ProgramEnded():
            return f"the program's worker {event.exit.sentence()}; it will be fed what is recorded in another one"
        case events.CancelRequested():
            return "cancellation was asked for" + (f": {event.reason}" if event.reason else "")
        case events.RunCompleted():
            return "run completed"
        case events.RunFailed():
            return f"run failed: {event.failure.sentence()}"
        case events.RunCancelled():
            return "run cancelled" + (f": {event.reason}" if event.reason else "")
        case events.RunParked():
            return f"run parked: {event.reason}"
        case events.RunResumed():
            return "run resumed"
        case _:
            return ""
