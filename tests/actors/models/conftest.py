from collections.abc import Iterator

import pytest

from tests.actors.models.provider_server import ProviderServer

KEYS = {
    "OPENAI_API_KEY": "sk-planted-openai-0123456789",
    "ANTHROPIC_API_KEY": "sk-ant-planted-0123456789",
    "GOOGLE_API_KEY": "AIzaPlanted0123456789",
    "OPENROUTER_API_KEY": "sk-or-planted-0123456789",
}


@pytest.fixture(scope="session")
def running() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture
def server(running: ProviderServer, monkeypatch: pytest.MonkeyPatch) -> ProviderServer:
    """A server in place of every provider, with keys that it may repeat."""
    running.requests.clear()
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    root = running.url.removesuffix("/v1")
    addresses = {"ANTHROPIC_BASE_URL": root, "GOOGLE_GEMINI_BASE_URL": root}
    addresses |= dict.fromkeys(["OPENAI_BASE_URL", "OLLAMA_BASE_URL", "VLLM_BASE_URL"], running.url)
    for name, value in addresses.items():
        monkeypatch.setenv(name, value)
    return running
