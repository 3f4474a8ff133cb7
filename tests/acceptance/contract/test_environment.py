"""Workers have the environment, secrets only where they are given, and what is missing for that says how to give it."""

from pathlib import Path

import pytest

from greenroom import Orchestrator, Pool, RunFailed
from tests.acceptance.apps.contract import surrounded

pytestmark = pytest.mark.slow

NAMES = ["PLAIN_SETTING", "APP_TOKEN", "OWN_TOKEN", "APP_DATABASE"]


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIN_SETTING", "a plain value")
    monkeypatch.setenv("APP_TOKEN", "app-token-value")
    monkeypatch.setenv("OWN_TOKEN", "own-token-value")
    monkeypatch.setenv("APP_DATABASE", "postgresql://me:hunter-two@db/app")


def opened(tmp_path: Path, backend: str = "zygote", **options) -> Orchestrator:
    kinds = ("program", "tool", "tool:see_own")
    pools = {kind: Pool(size=1, backend=backend) for kind in kinds}  # type: ignore[arg-type]
    return Orchestrator(":memory:", home=tmp_path / "home", **{"pools": pools, **options})


@pytest.mark.usefixtures("planted", "mark")
@pytest.mark.parametrize("backend", ["zygote", "spawn"])
def test_all_is_inherited_but_secrets_which_only_those_have_that_were_given_them(tmp_path: Path, backend: str) -> None:
    with opened(tmp_path, backend) as orchestrator:
        shared, own, at_import = orchestrator.start(surrounded.seen, NAMES).result(timeout=60)
    nothing = {"PLAIN_SETTING": "a plain value", "APP_TOKEN": None, "OWN_TOKEN": None, "APP_DATABASE": None}
    assert shared == nothing
    assert at_import == nothing
    assert own == {**nothing, "OWN_TOKEN": "own-token-value"}


@pytest.mark.usefixtures("planted", "mark")
@pytest.mark.parametrize("backend", ["zygote", "spawn"])
def test_what_the_orchestrator_is_given_by_name_the_whole_app_has_its_import_included(
    tmp_path: Path, backend: str
) -> None:
    with opened(tmp_path, backend, env=["APP_TOKEN", "PLAIN_SETTING=another"]) as orchestrator:
        shared, own, at_import = orchestrator.start(surrounded.seen, NAMES).result(timeout=60)
    everywhere = {"PLAIN_SETTING": "another", "APP_TOKEN": "app-token-value", "OWN_TOKEN": None, "APP_DATABASE": None}
    assert shared == at_import == everywhere
    assert own == {**everywhere, "OWN_TOKEN": "own-token-value"}


@pytest.mark.usefixtures("planted", "mark")
def test_a_pool_has_what_it_was_given_for_itself(tmp_path: Path) -> None:
    pools = {"tool": Pool(size=1, env=("APP_DATABASE", "PLAIN_SETTING"))}
    with opened(tmp_path, pools=pools) as orchestrator:
        shared, _, at_import = orchestrator.start(surrounded.seen, NAMES).result(timeout=60)
    assert shared["APP_DATABASE"] == "postgresql://me:hunter-two@db/app"
    assert shared["PLAIN_SETTING"] == "a plain value"
    assert at_import["APP_DATABASE"] is None
    assert at_import["PLAIN_SETTING"] is None, "who was given it for itself has it alone"


def test_a_variable_that_is_set_once_the_fixture_is_there_arrives(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLAIN_SETTING", "set late")
    shared, own, at_import = orchestrator.start(surrounded.seen, ["PLAIN_SETTING"]).result(timeout=60)
    assert shared == own == at_import == {"PLAIN_SETTING": "set late"}


@pytest.mark.usefixtures("mark")
def test_a_worker_has_the_environment_of_the_moment_in_which_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GONE_LATER", "here")
    monkeypatch.setenv("PLAIN_SETTING", "early")
    with opened(tmp_path) as orchestrator:
        assert orchestrator.start(surrounded.idle).result(timeout=60) == 1  # the app is imported, and no tool has run
        monkeypatch.setenv("PLAIN_SETTING", "late")
        monkeypatch.delenv("GONE_LATER")
        run = orchestrator.start(surrounded.seen, ["PLAIN_SETTING", "GONE_LATER"])
        shared, _, at_import = run.result(timeout=60)
    assert shared == {"PLAIN_SETTING": "late", "GONE_LATER": None}
    assert at_import == {"PLAIN_SETTING": "early", "GONE_LATER": "here"}


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("name", ["APP_TOKEN", "HIDDEN_KEY"])
def test_a_step_that_misses_a_variable_which_was_kept_from_it_says_how_to_give_it(
    orchestrator: Orchestrator, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIDDEN_KEY", "hidden-key-value")
    with pytest.raises(RunFailed) as caught:
        orchestrator.start(surrounded.needed, name).result(timeout=60)
    said = str(caught.value)
    assert f"{name} is set where the orchestrator runs, but kept from workers" in said
    assert f"`--env {name}`" in said
    assert f'`Orchestrator(env=["{name}"])`' in said
    assert f'`@tool(env=["{name}"])`' in said
    assert said.count("kept from workers") == 1
    assert "-value" not in said


def test_a_step_that_cannot_reach_the_network_hears_of_a_proxy_that_was_kept_from_it(
    orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter-two@proxy:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    with pytest.raises(RunFailed) as caught:
        orchestrator.start(surrounded.reached).result(timeout=60)
    assert "HTTPS_PROXY is set where the orchestrator runs, but kept from workers" in str(caught.value)
    assert "hunter-two" not in str(caught.value)


def test_a_variable_that_is_set_nowhere_is_no_matter_of_ours(orchestrator: Orchestrator) -> None:
    with pytest.raises(RunFailed) as caught:
        orchestrator.start(surrounded.needed, "NOWHERE_TOKEN").result(timeout=60)
    assert "NOWHERE_TOKEN" in str(caught.value)
    assert "--env" not in str(caught.value)


@pytest.mark.usefixtures("planted", "mark")
def test_secrets_are_taken_out_of_texts_and_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    said = "no app-token-value at /home/somebody with a plain value, and hunter-two"
    with opened(tmp_path, env=["APP_TOKEN", "APP_DATABASE"]) as orchestrator:
        run = orchestrator.start(surrounded.quoted, said)
        with pytest.raises(RunFailed):
            run.result(timeout=60)
        (attempt,) = run.steps()[0].attempts
    assert attempt.error == "ValueError: no *** at /home/somebody with a plain value, and ***"
