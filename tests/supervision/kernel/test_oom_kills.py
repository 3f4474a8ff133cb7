"""Which deaths a count of the kernel's kills explains."""

from hypothesis import given
from hypothesis import strategies as st

from greenroom.supervision.kernel.oom_kills import Ledger, OomWatch


class Kernel:
    """Kills, and counts; its clock stands still until it is set forward."""

    def __init__(self) -> None:
        self.kills = 0
        self.now = 0.0
        self.ledger = Ledger(lambda: self.kills)

    def watch(self) -> OomWatch:
        return OomWatch(self.ledger, lambda: self.now)

    def lives_on(self, *watches: OomWatch, seconds: int = 3) -> None:
        for _ in range(seconds):
            self.now += 1.0
            for watch in watches:
                watch.lives()


def test_a_kill_explains_one_death() -> None:
    kernel = Kernel()
    one, other, third = kernel.watch(), kernel.watch(), kernel.watch()
    kernel.kills += 1
    assert one.explains()
    assert not other.explains()
    kernel.kills += 1
    assert third.explains()


def test_without_a_kill_there_is_nothing_to_explain() -> None:
    kernel = Kernel()
    kernel.kills = 7
    assert not kernel.watch().explains()


def test_a_kill_that_a_worker_has_outlived_was_not_its_end() -> None:
    """Such as that of a process which a tool had started and done without."""
    kernel = Kernel()
    watch = kernel.watch()
    kernel.kills += 1
    kernel.lives_on(watch)
    assert not watch.explains()


def test_a_sign_of_life_that_lay_unread_while_its_worker_was_killed_does_not_hide_why() -> None:
    kernel = Kernel()
    watch = kernel.watch()
    kernel.lives_on(watch)
    kernel.kills += 1
    kernel.now += 60.0  # this process was held up: all that had arrived is read only now, and at once
    for _ in range(10):
        watch.lives()
    assert watch.explains()


def test_a_worker_begun_between_a_kill_and_its_report_is_owed_its_own() -> None:
    kernel = Kernel()
    one = kernel.watch()
    kernel.kills += 1
    other = kernel.watch()
    assert one.explains()
    kernel.kills += 1
    assert other.explains()


@given(st.lists(st.sampled_from(["kernel", "somebody", "time"]), max_size=40))
def test_never_more_deaths_are_explained_than_there_were_kills(happenings: list[str]) -> None:
    kernel, explained = Kernel(), 0
    watches = [kernel.watch() for _ in range(len(happenings))]
    for happening in happenings:
        if happening == "time":
            kernel.lives_on(*watches)
            continue
        kernel.kills += happening == "kernel"
        found = watches.pop().explains()
        assert found is (happening == "kernel"), "reported one after another, each is told for what it was"
        explained += found
    assert explained == kernel.kills
