"""Rate limits: in no minute more than allowed, and never longer waits than needed."""

from hypothesis import given
from hypothesis import strategies as st

from greenroom import ModelLimit
from greenroom.supervision.policy.rate_limit import MINUTE, RateLimit


@given(
    rpm=st.none() | st.integers(1, 5),
    tpm=st.none() | st.integers(100, 1000),
    requests=st.lists(st.tuples(st.floats(0, 20), st.integers(0, 300), st.integers(0, 300)), max_size=40),
)
def test_in_no_minute_more_requests_or_tokens_start_than_allowed(rpm, tpm, requests):
    limit = RateLimit(ModelLimit(rpm=rpm, tpm=tpm, concurrency=None))
    now, started = 0.0, []
    for number, (pause, estimated, used) in enumerate(requests):
        now += pause
        at = limit.next_at(now, estimated)
        assert at is not None
        assert at >= now
        if at > now:
            assert limit.next_at(now + (at - now) / 2, estimated) > now + (at - now) / 2, "it is not allowed earlier"
        now = at
        assert limit.next_at(now, estimated) == now, "it is allowed at the time that was said"
        limit.start(now, str(number), estimated)
        limit.end(str(number), used)
        started.append((now, estimated, used))
    for first, (start, *_rest) in enumerate(started):
        minute = [request for request in started[first:] if request[0] < start + MINUTE]
        if rpm is not None:
            assert len(minute) <= rpm
        if tpm is not None:  # the last one of a minute started when only its estimate was known
            assert sum(used for *_, used in minute[:-1]) + minute[-1][1] <= tpm or len(minute) == 1


def test_a_request_waits_for_another_one_to_end_if_as_many_run_as_allowed():
    limit = RateLimit(ModelLimit(concurrency=2))
    for token in "ab":
        assert limit.next_at(1.0, 0) == 1.0
        limit.start(1.0, token, 0)
    assert limit.next_at(1.0, 0) is None
    limit.end("a", None)
    assert limit.next_at(1.0, 0) == 1.0
    assert limit.running == 1


def test_no_request_starts_while_the_provider_asks_to_wait_and_the_longest_wait_counts():
    limit = RateLimit(ModelLimit())
    limit.hold(10.0, 1.5)
    limit.hold(10.0, 0.5)
    assert limit.next_at(10.2, 0) == 11.5
    assert limit.next_at(11.5, 0) == 11.5
    limit.hold(20.0, 1e9)
    assert limit.next_at(20.0, 0) == 20.0 + 3600.0
