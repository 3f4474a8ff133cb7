"""Reading the end of a process from the kernel's status and the evidence."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom.messages.core.failures import Exit
from greenroom.supervision.policy.exit_status import Evidence, describe, last_words, own_words, signal_name


def exited(code: int) -> int:
    return code << 8


def killed(number: int, *, core: bool = False) -> int:
    return int(number) | (0x80 if core else 0)


def test_an_exit_and_a_signal_are_told_apart() -> None:
    assert describe(Evidence(status=exited(3))).sentence() == "exited with code 3"
    assert describe(Evidence(status=killed(signal.SIGSEGV))).sentence() == "was killed by SIGSEGV"
    assert describe(Evidence(status=killed(signal.SIGABRT, core=True))).core_dumped


def test_an_exit_before_the_first_message_is_a_failed_start() -> None:
    end = describe(Evidence(status=exited(1), spoke=False, stderr="ImportError: no"))
    assert (end.kind, end.code, end.stderr) == ("start_failed", 1, "ImportError: no")
    assert describe(Evidence(status=killed(signal.SIGKILL), spoke=False)).kind == "signaled"


def test_our_reason_names_the_kind_and_the_kernel_completes_it() -> None:
    reason = Exit(kind="timeout", detail="over 10 s")
    end = describe(
        Evidence(
            status=killed(signal.SIGKILL),
            reason=reason,
            stderr="stack",
            peak_memory_mb=9.0,
            cpu=1.5,
            injected=(signal.SIGSTOP,),
        )
    )
    assert end == Exit(
        kind="timeout",
        signal="SIGKILL",
        detail="over 10 s",
        stderr="stack",
        peak_memory_mb=9.0,
        cpu=1.5,
        injected=True,
    )


def test_a_reason_that_is_an_injected_fault_stays_one() -> None:
    assert describe(Evidence(status=killed(9), reason=Exit(kind="stopped", injected=True))).injected


def test_a_lost_backend_blames_nobody() -> None:
    end = describe(Evidence(status=None, backend_lost="the zygote was killed by SIGKILL"))
    assert (end.kind, end.detail, end.code, end.signal) == (
        "backend_lost",
        "the zygote was killed by SIGKILL",
        None,
        None,
    )
    assert describe(Evidence(status=None, backend_lost="gone", reason=Exit(kind="hung"))).kind == "hung"


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(status=killed(signal.SIGKILL), kernel_oom=True),
        Evidence(status=killed(signal.SIGKILL), memory_limit_mb=100, peak_memory_mb=95.0),
        Evidence(status=exited(1), memory_limit_mb=100, stderr="Traceback\n  x\nMemoryError\n"),
        Evidence(status=exited(1), stderr="memory allocation of 4096 bytes failed\n"),
        Evidence(
            status=exited(1),
            stderr="MemoryError: \n\nthread panicked\nTraceback (most recent call last):\n"
            + "  a frame\n" * 50
            + "pyo3_runtime.PanicException: PyObject pointer is null\n",
        ),
        Evidence(
            status=killed(signal.SIGABRT),
            stderr="terminate called\n  what():  std::bad_alloc\nFatal Python error: Aborted\n\n" + "a frame\n" * 50,
        ),
        Evidence(status=killed(signal.SIGSEGV), memory_limit_mb=100, peak_memory_mb=99.0),
    ],
)
def test_the_end_of_memory_is_recognised(evidence: Evidence) -> None:
    assert describe(evidence).kind == "out_of_memory"
    assert describe(evidence).detail


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(status=killed(signal.SIGKILL)),
        Evidence(status=killed(signal.SIGKILL), kernel_oom=True, injected=(signal.SIGKILL,)),
        Evidence(status=killed(signal.SIGKILL), memory_limit_mb=100, peak_memory_mb=50.0),
        Evidence(status=exited(0), stderr="MemoryError"),
        Evidence(status=exited(1), stderr="pyo3_runtime.PanicException: PyObject pointer is null\n"),
        Evidence(status=exited(1), stderr="MemoryError: caught and logged\n" + "later lines\n" * 10),
        Evidence(status=killed(signal.SIGSEGV), memory_limit_mb=100, peak_memory_mb=20.0),
    ],
)
def test_what_only_resembles_the_end_of_memory_is_not_taken_for_it(evidence: Evidence) -> None:
    assert describe(evidence).kind in {"signaled", "exited"}


def test_the_cpu_limit_is_named() -> None:
    end = describe(Evidence(status=killed(signal.SIGXCPU), cpu_limit=1.5))
    assert end.kind == "cpu_limit"
    assert end.sentence() == "used up its CPU seconds and was killed (its limit is 1.5 s; `cpu=` gives it more)"
    injected = Evidence(status=killed(signal.SIGXCPU), cpu_limit=1.5, injected=(signal.SIGXCPU,))
    assert describe(injected).sentence() == "was killed by SIGXCPU"


def test_real_time_signals_have_a_name_too() -> None:
    assert signal_name(signal.SIGRTMIN + 3) == f"signal {signal.SIGRTMIN + 3}"


@given(st.integers(0, 255), st.booleans(), st.booleans())
def test_every_exit_code_is_reported_as_it_was(code: int, spoke: bool, injected: bool) -> None:
    end = describe(Evidence(status=exited(code), spoke=spoke, injected=(15,) if injected else ()))
    assert (end.code, end.signal, end.injected) == (code, None, False)
    assert end.kind == ("exited" if spoke else "start_failed")


@given(st.integers(1, 31).filter(lambda number: number not in {19, 20, signal.SIGXCPU}))
def test_every_signal_is_reported_by_its_name(number: int) -> None:
    end = describe(Evidence(status=killed(number)))
    assert (end.kind, end.code, end.signal) == ("signaled", None, signal.Signals(number).name)


def test_an_injected_signal_explains_the_death_it_caused_and_no_later_one() -> None:
    sent = (signal.SIGTERM, signal.SIGUSR2)
    assert describe(Evidence(status=killed(signal.SIGTERM), injected=sent)).injected
    assert not describe(Evidence(status=killed(signal.SIGSEGV), injected=sent)).injected
    assert not describe(Evidence(status=exited(3), injected=sent)).injected
    hung = Exit(kind="hung", detail="no heartbeat")
    assert describe(Evidence(status=killed(9), reason=hung, injected=(signal.SIGSTOP,))).injected
    assert not describe(Evidence(status=killed(9), reason=hung, injected=sent)).injected


FRAMES = 'Traceback (most recent call last):\n  File "app.py", line 3, in f\n    1 / 0\n    ~~^~~\n'


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("", ""),
        ("    ^^^^\n", ""),
        ("words\n    ^^^^\n", "words"),
        (FRAMES + "ZeroDivisionError: division by zero\n", "ZeroDivisionError: division by zero"),
        (FRAMES + "app.Beyond\n", "app.Beyond"),
        (FRAMES + "ValueError: a line\n  and another\n   ^^^^\n", "ValueError: a line"),
        (FRAMES + "KeyError: 1\n\nDuring handling:\n\n" + FRAMES + "OSError: 2\n", "OSError: 2"),
        (
            'Fatal Python error: Segmentation fault\n\nThread 1:\n  File "a.py", line 3 in f\n',
            "Fatal Python error: Segmentation fault",
        ),
    ],
)
def test_the_last_words_are_the_reason_and_no_ornament(stderr: str, words: str) -> None:
    assert last_words(stderr) == words


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("", ""),
        ("SystemExit: it ended.\n", "it ended"),
        ("no licence\n\nSystemExit: it ended\n", 'it ended; the line before that is "no licence"'),
        ("it ended\nSystemExit: oh: it ended\n", "oh: it ended"),
    ],
)
def test_a_worker_that_ends_itself_is_quoted_with_the_line_before(stderr: str, words: str) -> None:
    assert own_words(stderr) == words


def test_an_exit_names_the_exception_that_ended_it() -> None:
    def detail(stderr: str, code: int = 1) -> str:
        return describe(Evidence(status=exited(code), stderr=stderr)).detail

    assert detail(FRAMES + "app.Beyond: bye\n") == "app.Beyond: bye"
    assert detail("SystemExit: 3\n", 3) == "SystemExit: 3"
    assert detail("", 7) == "", "os._exit says nothing"
