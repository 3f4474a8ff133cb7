"""Names of calls that make calls of their own, such as runs of agents."""

from greenroom.actors.program.scope import Scope


def test_what_a_call_makes_inside_is_named_below_it_and_changes_no_name_outside() -> None:
    task = Scope("2")
    before = task.key("search"), task.child().path
    inner = task.enter("writer")
    assert [task.child().path, task.child().path] == ["2/writer#1.1", "2/writer#1.2"]
    assert [inner.key("model"), task.key("model"), inner.key("search", "c1")] == [
        "2/writer#1/model#1",
        "2/writer#1/model#2",
        "2/writer#1/search[c1]#1",
    ]
    inner.leave()
    inner.leave()
    assert before == ("2/search#1", "2.1")
    assert (task.key("search"), task.child().path) == ("2/search#2", "2.2")
    assert task.enter("writer").path == "2/writer#2"


def test_calls_within_calls_are_left_in_turn() -> None:
    task = Scope()
    outer = task.enter("editor")
    inner = task.enter("scholar")
    assert inner.path == "editor#1/scholar#1"
    inner.leave()
    assert [task.key("model"), outer.key("model")] == ["editor#1/model#1", "editor#1/model#2"]
    outer.leave()
    assert task.key("model") == "model#1"


def test_a_call_repeated_under_one_label_has_a_place_of_its_own() -> None:
    run = Scope("writer#1")
    assert run.key("study", "c1") == "writer#1/study[c1]#1"
    assert [run.inside("study", "c1").key("echo"), run.inside("study", "c1").key("echo")] == [
        "writer#1/study[c1]#1/echo#1",
        "writer#1/study[c1]#2/echo#1",
    ]
