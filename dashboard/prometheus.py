"""Metrics in the format of Prometheus."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from greenroom.messages.records.records import WorkerRecord
from greenroom.metrics.figure_records import Metrics, StepFigures, WorkflowFigures
from greenroom.metrics.percentiles import Spread


def exposition(metrics: Metrics, workers: Sequence[WorkerRecord]) -> bytes:
    """Return metrics in Prometheus's text format, version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(metrics, workers))
    return generate_latest(registry)


STEP = ("workflow", "step", "kind")


@dataclass(frozen=True, slots=True, eq=False)
class _Figures(Collector):
    metrics: Metrics
    workers: Sequence[WorkerRecord]

    @override
    def collect(self) -> Iterator[Metric]:
        yield from self._runs()
        yield from self._steps()
        yield from self._attempts()
        yield from self._background()
        yield from self._workers()
        yield from self._pools()
        yield from self._gates()

    def _runs(self) -> Iterator[Metric]:
        runs = GaugeMetricFamily("greenroom_runs", "Runs in the journal.", labels=("workflow", "status"))
        crashes = CounterMetricFamily(
            "greenroom_program_crashes", "Deaths of the process that ran a workflow's own code.", labels=("workflow",)
        )
        duration = _quantiles("greenroom_run_duration_seconds", "From a run's acceptance to its end.", ("workflow",))
        for flow in self.metrics.workflows:
            for status, count in flow.statuses.items():
                runs.add_metric((flow.name, status), count)
            crashes.add_metric((flow.name,), flow.program_crashes)
            _add(duration, (flow.name,), flow.duration)
        yield from (runs, crashes, duration)
        yield CounterMetricFamily(
            "greenroom_worker_restarts",
            "Workers that died under a step or a program and were replaced.",
            value=self.metrics.totals.restarts,
        )

    def _each(self) -> Iterator[tuple[WorkflowFigures, StepFigures, tuple[str, str, str]]]:
        for flow in self.metrics.workflows:
            for step in flow.steps:
                yield flow, step, (flow.name, step.name, step.kind)

    def _steps(self) -> Iterator[Metric]:
        calls = CounterMetricFamily("greenroom_step_calls", "Calls of steps, by how they ended.", labels=(*STEP, "end"))
        latency = _quantiles("greenroom_step_latency_seconds", "From a call's first attempt to its end.", STEP)
        for _, step, labels in self._each():
            open_ = step.count - step.completed - step.failed
            for end, count in (("completed", step.completed), ("failed", step.failed), ("open", open_)):
                calls.add_metric((*labels, end), count)
            _add(latency, labels, step.latency)
        yield from (calls, latency)

    def _attempts(self) -> Iterator[Metric]:
        ended = CounterMetricFamily("greenroom_attempts", "Attempts that ended, by outcome.", labels=(*STEP, "outcome"))
        retries = CounterMetricFamily("greenroom_retries", "Attempts after the first of each call.", labels=STEP)
        rejections = CounterMetricFamily("greenroom_rejections", "Results that evaluators refused.", labels=STEP)
        usage = CounterMetricFamily("greenroom_usage", "What model calls used.", labels=(*STEP, "what"))
        unpriced = CounterMetricFamily("greenroom_unpriced_calls", "Model calls whose price is not known.", labels=STEP)
        latency = _quantiles("greenroom_attempt_latency_seconds", "From an attempt's start to its end.", STEP)
        for _, step, labels in self._each():
            for outcome, count in step.outcomes.items():
                ended.add_metric((*labels, outcome), count)
            retries.add_metric(labels, step.retries)
            rejections.add_metric(labels, step.rejections)
            for what, amount in step.usage.items():
                usage.add_metric((*labels, what), amount)
            if step.kind == "llm":
                unpriced.add_metric(labels, step.unpriced)
            _add(latency, labels, step.attempt_latency)
        yield from (ended, retries, rejections, usage, unpriced, latency)

    def _background(self) -> Iterator[Metric]:
        labels = ("workflow", "step", "evaluator")
        rated = CounterMetricFamily(
            "greenroom_background_ratings", "Answers rated in the background.", labels=(*labels, "verdict")
        )
        mean = GaugeMetricFamily("greenroom_background_score", "Mean of these scores.", labels=labels)
        usage = CounterMetricFamily("greenroom_background_usage", "What rating used.", labels=(*labels, "what"))
        for flow in self.metrics.workflows:
            found = [("", each) for each in flow.background]
            found += [(step.name, each) for step in flow.steps for each in step.background]
            for step, each in found:
                names = flow.name, step, each.evaluator
                counts = (("passed", each.passed), ("low", each.rated - each.passed), ("failed", each.unrated))
                for verdict, count in counts:
                    rated.add_metric((*names, verdict), count)
                if each.mean is not None:
                    mean.add_metric(names, each.mean)
                for what, amount in each.usage.items():
                    usage.add_metric((*names, what), amount)
        yield from (rated, mean, usage)

    def _workers(self) -> Iterator[Metric]:
        alive = GaugeMetricFamily("greenroom_workers", "Worker processes.", labels=("kind", "status"))
        for (kind, status), count in sorted(Counter((one.kind, one.status) for one in self.workers).items()):
            alive.add_metric((kind, status), count)
        memory = GaugeMetricFamily("greenroom_worker_resident_bytes", "Resident memory.", labels=("kind", "worker"))
        for one in self.workers:
            if one.rss_bytes is not None:
                memory.add_metric((one.kind, one.id), one.rss_bytes)
        yield from (alive, memory)

    def _pools(self) -> Iterator[Metric]:
        labels = ("app", "pool")
        status = GaugeMetricFamily("greenroom_pool_status", "1 for the status a pool has.", labels=(*labels, "status"))
        escalations = CounterMetricFamily("greenroom_pool_escalations", "Times a pool has given up.", labels=labels)
        restarts = CounterMetricFamily("greenroom_pool_restarts", "Lives of workers after the first.", labels=labels)
        for pool in self.metrics.pools:
            for each in ("running", "short", "degraded"):
                status.add_metric((pool.app, pool.pool, each), pool.status == each)
            escalations.add_metric((pool.app, pool.pool), pool.escalations)
            restarts.add_metric((pool.app, pool.pool), pool.restarts)
        yield from (status, escalations, restarts)

    def _gates(self) -> Iterator[Metric]:
        labels = ("kind", "name")
        status = GaugeMetricFamily(
            "greenroom_gate_status", "1 for the status a limited model or tool has.", labels=(*labels, "status")
        )
        openings = CounterMetricFamily("greenroom_breaker_openings", "Times a breaker has opened.", labels=labels)
        for gate in self.metrics.gates:
            for each in ("running", "held", "open", "half_open"):
                status.add_metric((gate.kind, gate.name, each), gate.status == each)
            openings.add_metric((gate.kind, gate.name), gate.openings)
        yield from (status, openings)


def _quantiles(name: str, text: str, labels: Sequence[str]) -> GaugeMetricFamily:
    """Return a metric family of computed percentiles; a summary of Prometheus's client would compute its own."""
    return GaugeMetricFamily(name, text, labels=(*labels, "quantile"))


def _add(family: GaugeMetricFamily, labels: tuple[str, ...], spread: Spread) -> None:
    for quantile, value in (("0.5", spread.p50), ("0.95", spread.p95), ("0.99", spread.p99)):
        if value is not None:
            family.add_metric((*labels, quantile), value)
