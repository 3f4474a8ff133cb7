from hypothesis import given
from hypothesis import strategies as st

from greenroom.actors.agent.loop_detection import LONGEST_CYCLE, rounds


def test_calls_that_differ_are_no_circle():
    assert rounds([]) == 1
    assert rounds(["a"]) == 1
    assert rounds(["a", "b", "c"]) == 1


def test_the_same_call_again_and_again_is_a_circle():
    assert rounds(["x", "a", "a", "a"]) == 3


def test_a_circle_that_was_left_is_none():
    assert rounds(["a", "a", "a", "b"]) == 1


@given(st.permutations("abcdefgh"), st.integers(1, LONGEST_CYCLE), st.integers(1, 6), st.lists(st.sampled_from("uvw")))
def test_a_cycle_of_different_calls_counts_as_often_as_it_was_made(letters, length, times, before):
    assert rounds([*before, *(letters[:length] * times)]) == times


@given(st.lists(st.sampled_from("ab"), max_size=30))
def test_the_count_is_that_of_the_best_cycle(calls):
    best = 1
    for length in range(1, LONGEST_CYCLE + 1):
        for times in range(2, len(calls) // length + 1):
            if calls[-length:] * times == calls[len(calls) - length * times :]:
                best = max(best, times)
    assert rounds(calls) == best
