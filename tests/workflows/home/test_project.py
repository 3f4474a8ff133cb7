"""What a project's pyproject.toml says of how its apps are imported."""

import os
from pathlib import Path

import pytest

from greenroom import Breaker, Budget, DefinitionError, ModelLimit, Orchestrator
from greenroom.supervision.policy.worker_environment import read_given
from greenroom.workflows.home.project import given_to_apps, read_project


def write(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text)


def test_the_nearest_table_upwards_counts(tmp_path: Path) -> None:
    write(tmp_path, '[tool.greenroom]\nenv = ["APP_KEY", "MODE=fast"]\nimport_timeout = 90\n')
    write(tmp_path / "inner", '[project]\nname = "inner"\n')
    below = tmp_path / "inner" / "deep"
    below.mkdir()
    project = read_project(below)
    assert project.env == ["APP_KEY", "MODE=fast"]
    assert project.import_timeout == 90.0


def test_limits_of_models_tools_and_money_stand_in_the_table(tmp_path: Path) -> None:
    write(
        tmp_path,
        "[tool.greenroom]\ndaily_budget = { usd = 20 }\n"
        'models."openai:gpt-5" = { rpm = 500, concurrency = 4 }\n'
        'breakers."tool:search" = { failures = 5, cooldown = 30 }\nbreakers.mock = false\n',
    )
    project = read_project(tmp_path)
    assert project.daily_budget == Budget(usd=20.0)
    assert project.budget is None
    assert project.models == {"openai:gpt-5": ModelLimit(rpm=500, concurrency=4)}
    assert project.breakers == {"tool:search": Breaker(failures=5, cooldown=30.0), "mock": None}


def test_whoever_makes_an_orchestrator_has_the_last_word(tmp_path: Path) -> None:
    write(tmp_path, '[tool.greenroom]\nenv = ["APP_KEY", "MODE=fast"]\n')
    given = given_to_apps(read_project(tmp_path), read_given(["MODE=slow", "OTHER"]))
    assert given.names == {"APP_KEY", "MODE", "OTHER"}
    assert given.values == {"MODE": "slow"}


def test_a_file_of_a_stranger_counts_for_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    write(tmp_path, '[tool.greenroom]\nenv = ["LD_PRELOAD=/tmp/theirs.so"]\n')
    ours = tmp_path / "ours"
    ours.mkdir()
    os.chown(tmp_path / "pyproject.toml", 65534, 65534)
    assert read_project(ours).env == []
    os.chown(ours, 65534, 65534)
    assert read_project(ours).env == ["LD_PRELOAD=/tmp/theirs.so"], "it is their folder too"


def test_a_broken_file_that_says_nothing_of_us_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, '[tool.greenroom]\nenv = ["APP_KEY"]\n')
    write(tmp_path / "inner", "[project\n")
    assert read_project(tmp_path / "inner").env == ["APP_KEY"]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("environment = []", "there is no `environment`; did you mean `env`?"),
        ('env = "APP_KEY"', "env: Input should be a valid list"),
        ('env = ["=x"]', "no variable can be called ''"),
        ("import_timeout = -1", "import_timeout: Input should be greater than 0"),
        ("models.m = { rpm = 0 }", "models.m.rpm: Input should be greater than 0"),
        ("budget = { attempts = 3 }", "budget limits `usd` and `tokens` of all runs; give `attempts` to a workflow"),
        (
            "daily_budget = { wall = 60 }",
            "daily_budget limits `usd` and `tokens` of all runs; give `wall` to a workflow",
        ),
        ("env = [", "cannot be read"),
    ],
)
def test_a_wrong_table_says_where_it_stands_and_what_is_wrong(
    table: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, f"[tool.greenroom]\n{table}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DefinitionError) as caught:
        Orchestrator(":memory:", home=tmp_path / "home")
    assert sentence in str(caught.value)
    assert str(tmp_path / "pyproject.toml") in str(caught.value)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("wrong", [{"env": "APP_KEY"}, {"import_timeout": "soon"}, {"import_timeout": True}])
def test_an_option_of_another_type_is_refused(wrong: dict, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Orchestrator(":memory:", home=tmp_path / "home", **wrong)


@pytest.mark.parametrize("wrong", [{"env": ["=x"]}, {"import_timeout": 0}, {"import_timeout": float("nan")}])
def test_an_option_that_cannot_be_is_refused(wrong: dict, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"env|import_timeout"):
        Orchestrator(":memory:", home=tmp_path / "home", **wrong)
