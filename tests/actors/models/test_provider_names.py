"""Names of models, and what each provider needs, compared with the library that asks them."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic_ai.models import KnownModelName, infer_model
from pydantic_ai.providers import infer_provider_class

from greenroom.actors.models import check_named, provider_names
from greenroom.actors.models.provider_names import (
    PROVIDERS,
    check_environment,
    check_name,
    is_own_server,
    library_name,
    variables_of,
)
from greenroom.messages.core.errors import DefinitionError, Fatal
from greenroom.messages.secrets.detection import looks_secret

OPTIONAL = {"bedrock", "cohere", "groq", "huggingface", "mistral", "xai"}
"""Providers whose libraries are not installed with the tests."""
NO_TEXT = {"typesafe", "test"}
"""Names that the library has for other uses than asking a model."""


def test_the_library_knows_every_provider_by_this_name() -> None:
    for name in PROVIDERS.keys() - OPTIONAL:
        assert infer_provider_class(name) is not None, name


def test_every_provider_of_a_model_that_the_library_lists_is_known() -> None:
    listed = {name.partition(":")[0] for name in get_args(KnownModelName.__value__)}
    ours = {name for name in listed if not name.startswith("gateway/") and not name.endswith(("-decisions", "-mantle"))}
    assert ours - NO_TEXT <= PROVIDERS.keys()


@pytest.mark.parametrize("name", sorted(PROVIDERS.keys() - OPTIONAL - {"google-cloud"}))
def test_the_variables_of_a_provider_are_those_that_its_library_reads(name: str) -> None:
    provider = PROVIDERS[name]
    module = importlib.import_module(infer_provider_class(name).__module__)
    read = set(re.findall(r"[\"']([A-Z][A-Z_]+)[\"']", Path(str(module.__file__)).read_text("utf-8")))
    assert set(provider.keys) <= read
    assert set(provider.others) <= read
    by_sdk = {"ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL"}
    assert provider.base_url in read | by_sdk | {""}


def test_every_key_is_withheld_from_other_workers() -> None:
    for name, provider in PROVIDERS.items():
        assert provider.keys or name == "bedrock"
        assert all(looks_secret(key, "abcdefgh") for key in provider.keys), name


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("opnai:gpt-5", "which is not known: did you mean 'openai:gpt-5'"),
        ("gpt-5", "which names no provider: did you mean 'openai:gpt-5'?"),
        ("claude-sonnet-4-5", "did you mean 'anthropic:claude-sonnet-4-5'?"),
        ("openai", "which names no model of that provider: write 'openai:MODEL'"),
        ("openai:", "which names no model of that provider: write 'openai:MODEL'"),
        ("zzz", "which is not known: write 'mock', or PROVIDER:MODEL with one of openai, "),
        ("qqqqqq:x", "with one of openai, "),
    ],
)
def test_a_wrong_name_is_refused_with_what_was_meant(name: str, words: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        check_name(name, "LLM `w`")
    assert str(caught.value).startswith(f"LLM `w` asks for the model {name!r}, ")
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["mock", "openai:gpt-5", "ollama:qwen3:8b", "openrouter:a/b:free", "bedrock:x.y-z:0"])
def test_a_right_name_is_taken(name: str) -> None:
    check_name(name, "LLM `w`")


def test_a_library_that_is_missing_is_told_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DefinitionError, match=r"is not installed: pip install 'pydantic-ai-slim\[xai\]'"):
        check_named("xai:grok-4", "LLM `w`")
    monkeypatch.setattr(provider_names, "_is_installed", {"pydantic_ai": True, "anthropic": False}.__getitem__)
    with pytest.raises(DefinitionError, match=r"LLM `w` asks .*: pip install 'greenroom\[anthropic\]'"):
        check_named("anthropic:claude-haiku-4-5", "LLM `w`")


def test_names_are_checked_without_any_library() -> None:
    program = (
        "import sys; from greenroom import LLM; LLM('a', model='openai:gpt-5').definition.asks; "
        "print({'pydantic_ai', 'openai', 'httpx', 'httpx2'} & sys.modules.keys())"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# ---------------------------------------------------------------- environments


@pytest.mark.parametrize(
    ("name", "environ", "own", "library"),
    [
        ("openai:a", {}, True, "openai:a"),
        ("openai:a", {"OPENAI_BASE_URL": "https://api.openai.com/v1"}, True, "openai:a"),
        ("openai:a", {"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, False, "openai-chat:a"),
        ("openai-responses:a", {"OPENAI_BASE_URL": "http://gpu.lan/v1"}, False, "openai-responses:a"),
        ("anthropic:a", {"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, True, "anthropic:a"),
        ("ollama:a", {"OLLAMA_BASE_URL": "http://127.0.0.1:11434/v1"}, False, "ollama:a"),
        ("deepseek:a", {}, True, "deepseek:a"),
    ],
)
def test_a_server_is_the_providers_own_or_another(name: str, environ: dict[str, str], own: Any, library: str) -> None:
    assert is_own_server(PROVIDERS[name.partition(":")[0]], environ) == own
    assert library_name(name, environ) == library


@pytest.mark.parametrize(
    ("name", "environ"),
    [
        ("openai:a", {"OPENAI_API_KEY": "x"}),
        ("openai:a", {"OPENAI_BASE_URL": "http://127.0.0.1/v1"}),
        ("google:a", {"GEMINI_API_KEY": "x"}),
        ("vllm:a", {"VLLM_BASE_URL": "http://127.0.0.1/v1"}),
        ("anthropic:a", {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": "http://127.0.0.1"}),
    ],
)
def test_an_environment_that_is_enough_for_us_is_enough_for_the_library(
    name: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in variables_of(PROVIDERS.keys()):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    check_environment(name, environ)
    assert infer_model(library_name(name, environ)) is not None


@pytest.mark.parametrize("name", ["openai:a", "anthropic:a", "google:a", "deepseek:a", "ollama:a", "vllm:a"])
def test_an_environment_without_what_is_needed_is_refused(name: str) -> None:
    with pytest.raises(Fatal, match=rf"the model '{name}' needs .*: set [A-Z_]+.* where the orchestrator runs"):
        check_environment(name, {})


PORTS = {"ollama": 11434, "vllm": 8000}
"""Where the servers listen that have to be named, unless they are told otherwise."""


@pytest.mark.parametrize("name", [name for name, provider in PROVIDERS.items() if not provider.host])
def test_the_address_that_is_advised_is_where_that_server_listens(name: str) -> None:
    with pytest.raises(Fatal, match=rf"for example to http://127.0.0.1:{PORTS[name]}/v1$"):
        check_environment(f"{name}:a", {})


def test_the_variables_of_models_are_those_of_their_providers() -> None:
    assert variables_of(["mock"]) == ()
    assert variables_of(["openai:a", "openai-chat:b", "anthropic:c"]) == (
        *("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        *("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    )
