"""Names of models by provider, such as ``openai:gpt-5``: the providers, and what each of them needs.

Nothing here imports a provider's library, so that a name can be checked in any process.
"""

import difflib
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Final, Literal
from urllib.parse import urlsplit

from greenroom.messages.core.errors import DefinitionError, Fatal
from greenroom.messages.core.frozen import frozen

EMBEDDED: Final = "mock"
"""Name of the embedded model, which belongs to no provider."""
LIBRARY: Final = "pydantic_ai"
"""The package through which every provider is asked."""
_OURS: Final = frozenset({"openai", "anthropic", "google"})
"""Extras of this package. All others are extras of that library."""


@frozen
class Provider:
    """What a provider needs.

    Attributes:
        extra: The extra that installs its library.
        package: A module of that library.
        keys: Variables with the key. Any one of them is enough.
        base_url: Variable with the address of its server; empty if it has none.
        host: Host of the provider's own server, whose prices are known; empty if it has none, so that the address has
            to be given and is not sold by the token.
        others: Further variables that its library reads.
        key_for: The servers that its library asks only with a key: all, the provider's own, or none, because it also
            finds credentials elsewhere.
    """

    extra: str
    package: str
    keys: tuple[str, ...]
    base_url: str = ""
    host: str = ""
    others: tuple[str, ...] = ()
    key_for: Literal["all", "own", "none"] = "all"

    @property
    def variables(self) -> tuple[str, ...]:
        """Every environment variable that configures the provider."""
        return (*self.keys, *filter(None, [self.base_url]), *self.others)

    @property
    def install(self) -> str:
        """The command that installs its library."""
        package = "greenroom" if self.extra in _OURS else "pydantic-ai-slim"
        return f"pip install '{package}[{self.extra}]'"


def _chat(*keys: str, host: str = "*", base_url: str = "", others: tuple[str, ...] = ()) -> Provider:
    """Return a provider that speaks OpenAI's protocol."""
    return Provider("openai", "openai", keys, base_url, host, others)


def _server(*keys: str, host: str = "", base_url: str) -> Provider:
    """Return one whose protocol is also spoken by servers that need no key."""
    return Provider("openai", "openai", keys, base_url, host, key_for="own")


_OPENAI: Final = _server("OPENAI_API_KEY", host="api.openai.com", base_url="OPENAI_BASE_URL")
_AZURE: Final = _chat("AZURE_OPENAI_API_KEY", others=("AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION"))
_GOOGLE_KEYS: Final = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_AWS: Final = (
    *("AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"),
)

PROVIDERS: Final[Mapping[str, Provider]] = {
    "openai": _OPENAI,
    "openai-chat": _OPENAI,
    "openai-responses": _OPENAI,
    "anthropic": Provider("anthropic", "anthropic", ("ANTHROPIC_API_KEY",), "ANTHROPIC_BASE_URL", "api.anthropic.com"),
    "google": Provider(
        "google", "google.genai", _GOOGLE_KEYS, "GOOGLE_GEMINI_BASE_URL", "generativelanguage.googleapis.com"
    ),
    "ollama": _server("OLLAMA_API_KEY", base_url="OLLAMA_BASE_URL"),
    "vllm": _server("VLLM_API_KEY", base_url="VLLM_BASE_URL"),
    "openrouter": _chat("OPENROUTER_API_KEY", host="openrouter.ai"),
    "alibaba": _chat("ALIBABA_API_KEY", "DASHSCOPE_API_KEY"),
    "azure": _AZURE,
    "azure-responses": _AZURE,
    "bedrock": Provider("bedrock", "boto3", (), host="*", others=_AWS, key_for="none"),
    "cerebras": _chat("CEREBRAS_API_KEY"),
    "cohere": Provider("cohere", "cohere", ("CO_API_KEY",), "CO_BASE_URL", "api.cohere.com"),
    "crusoe": _chat("CRUSOE_API_KEY"),
    "deepseek": _chat("DEEPSEEK_API_KEY"),
    "fireworks": _chat("FIREWORKS_API_KEY"),
    "github": _chat("GITHUB_API_KEY"),
    "google-cloud": Provider(
        *("google", "google.genai", _GOOGLE_KEYS, "", "*", ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION")),
        key_for="none",
    ),
    "groq": Provider("groq", "groq", ("GROQ_API_KEY",), "GROQ_BASE_URL", "api.groq.com"),
    "heroku": _chat("HEROKU_INFERENCE_KEY", host="us.inference.heroku.com", base_url="HEROKU_INFERENCE_URL"),
    "huggingface": Provider("huggingface", "huggingface_hub", ("HF_TOKEN",), host="*"),
    "meta": _chat("META_API_KEY"),
    "mistral": Provider("mistral", "mistralai", ("MISTRAL_API_KEY",), host="*"),
    "moonshotai": _chat("MOONSHOTAI_API_KEY", host="api.moonshot.ai", base_url="MOONSHOTAI_BASE_URL"),
    "nebius": _chat("NEBIUS_API_KEY"),
    "ovhcloud": _chat("OVHCLOUD_API_KEY"),
    "sambanova": _chat("SAMBANOVA_API_KEY", host="api.sambanova.ai", base_url="SAMBANOVA_BASE_URL"),
    "snowflake": _chat("SNOWFLAKE_TOKEN", others=("SNOWFLAKE_ACCOUNT",)),
    "together": _chat("TOGETHER_API_KEY"),
    "vercel": _chat("VERCEL_AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"),
    "xai": Provider("xai", "xai_sdk", ("XAI_API_KEY",), host="*"),
    "zai": _chat("ZAI_API_KEY"),
}
"""The providers by the first part of a model's name. A host ``*`` means the one that the library chooses."""

_EXAMPLES: Final = {"OLLAMA_BASE_URL": "http://127.0.0.1:11434/v1", "VLLM_BASE_URL": "http://127.0.0.1:8000/v1"}
"""Where the servers of providers without an address of their own listen, if nothing else is said to them."""

_FAMILIES: Final = {"gpt": "openai", "claude": "anthropic", "gemini": "google", "llama": "ollama", "qwen": "ollama"}
"""Providers of models that people name without one."""


def provider_of(name: str) -> Provider | None:
    """Return the provider of a model's name; None for the embedded model and for names that are not known."""
    return PROVIDERS.get(name.partition(":")[0])


def check_name(name: str, owner: str) -> None:
    """Raise if a text is not the name of a model.

    Args:
        name: The text.
        owner: What asks for the model, for the error.

    Raises:
        DefinitionError: It is not; the message holds similar names.
    """
    if name == EMBEDDED:
        return
    provider, colon, model = name.partition(":")
    if provider in PROVIDERS and model:
        return
    if provider in PROVIDERS:
        why = f"which names no model of that provider: write '{provider}:MODEL'"
    elif colon and (alike := difflib.get_close_matches(provider, PROVIDERS, n=2, cutoff=0.6)):
        why = f"which is not known: did you mean {' or '.join(repr(f'{each}:{model}') for each in alike)}?"
    elif (family := next((_FAMILIES[each] for each in _FAMILIES if name.startswith(each)), "")) and not colon:
        why = f"which names no provider: did you mean {f'{family}:{name}'!r}?"
    else:
        why = f"which is not known: write {EMBEDDED!r}, or PROVIDER:MODEL with one of {', '.join(PROVIDERS)}"
    msg = f"{owner} asks for the model {name!r}, {why}"
    raise DefinitionError(msg)


def check_installed(name: str, owner: str) -> None:
    """Raise if the library of a model's provider is not installed. Imports nothing of it.

    Raises:
        DefinitionError: It is not; the message holds the command that installs it.
    """
    provider = provider_of(name)
    if provider is not None and not (_is_installed(LIBRARY) and _is_installed(provider.package)):
        msg = f"{owner} asks for the model {name!r}, whose library is not installed: {provider.install}"
        raise DefinitionError(msg)


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it is a part of
        return False


def check_environment(name: str, environ: Mapping[str, str]) -> None:
    """Raise if an environment lacks what a provider cannot be asked without.

    Raises:
        Fatal: The key is not set, or the address of a provider that has no server of its own.
    """
    provider = PROVIDERS[name.partition(":")[0]]
    if not provider.host and not environ.get(provider.base_url):
        msg = (
            f"the model {name!r} needs the address of its server: set {provider.base_url} where the orchestrator runs, "
            f"for example to {_EXAMPLES[provider.base_url]}"
        )
        raise Fatal(msg)
    needed = provider.key_for == "all" or (provider.key_for == "own" and is_own_server(provider, environ))
    if not needed or any(environ.get(key) for key in provider.keys):
        return
    key = provider.keys[0]
    msg = (
        f"the model {name!r} needs a key: set {' or '.join(provider.keys)} where the orchestrator runs, from where it "
        f"is passed to LLM workers alone; a call outside of a run reads {key} in its own process"
    )
    raise Fatal(msg)


def is_own_server(provider: Provider, environ: Mapping[str, str]) -> bool:
    """Return whether requests go to the provider itself, and not to another server that speaks its protocol."""
    if provider.host == "*":
        return True
    address = environ.get(provider.base_url, "")
    return bool(provider.host) and (not address or urlsplit(address).hostname == provider.host)


def library_name(name: str, environ: Mapping[str, str]) -> str:
    """Return the name by which the library knows a model.

    ``openai:`` means OpenAI's Responses API. Other servers speak its older protocol, chat completions.
    """
    provider, _, model = name.partition(":")
    if provider == "openai" and not is_own_server(PROVIDERS[provider], environ):
        return f"openai-chat:{model}"
    return name


def variables_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the environment variables that the providers of models need, sorted."""
    found = (provider_of(name) for name in names)
    return tuple(sorted({variable for each in found if each is not None for variable in each.variables}))
