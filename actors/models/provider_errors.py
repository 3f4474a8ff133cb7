"""What an error of a provider means: whether another attempt may help, when, and what a person has to do."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelRequestTimeout,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    UserError,
)

from greenroom.actors.models.provider_names import provider_of
from greenroom.messages.core.errors import ContextTooLong, Fatal, ModelFailed, QuotaExceeded, RetryAfter

LONGEST_PAUSE: Final = 3600.0
"""Most seconds that a provider can ask for."""
_QUOTED: Final = 500
"""Most characters of a provider's own words in a sentence."""
_NOT_SENT: Final = frozenset({"pool", "connect"})
_REFUSALS: Final = frozenset({"content_filter", "content_policy_violation"})
_TOO_LARGE: Final = 413
_BAD_REQUEST: Final = 400
_BAD_KEY: Final = "API key not valid"
"""How Google refuses a key, with a status that says nothing of keys."""
_CONTEXT_SIZE: Final = "exceeds the available context size"
_TEMPORARY: Final = frozenset({408, 409, 425, 429})
"""Statuses of refused requests that may be accepted later: time-out, conflict, too early, too many."""
_REDIRECTS: Final = range(300, 400)
_FIRST_SERVER_ERROR: Final = 500


def is_refusal(error: Exception) -> bool:
    """Return whether an error says that the provider will not answer such a question."""
    if isinstance(error, ContentFilterError):
        return True
    return isinstance(error, ModelRequestRejectedError) and error.provider_error_code in _REFUSALS


def translated(
    error: Exception, name: str, variables: tuple[str, ...] = (), redact: Callable[[str], str] = str, address: str = ""
) -> Exception:
    """Return the exception to raise for an error of the library.

    Args:
        error: What the library raised.
        name: Name of the model, as the author wrote it.
        variables: Environment variables with the key, for the advice.
        redact: Removes secrets from a text. Some servers repeat the key that they were sent.
        address: Environment variable that leads to a server other than the provider's own, for the advice.
    """
    if isinstance(error, UserError):
        return Fatal(f"the model {name!r} cannot be asked like this: {_first_line(redact(error.message))}")
    if not isinstance(error, ModelAPIError):  # for example an IndexError about an answer without choices
        return _unreadable(name, f": {_named(error, redact)}", address)
    status = error.status_code if isinstance(error, ModelHTTPError) else None
    said = _said(error, redact)
    fatal = _fatal(error, name, status, said, variables, address)
    if fatal is not None:
        return fatal
    pause = pause_of(error)
    if isinstance(error, ModelRateLimitError):
        return RetryAfter(pause or 0.0, f"the provider of {name!r} limits the rate of requests{said}")
    failed = _redirected(error, name, address) or _failed(error, name, status, said, address)
    return failed if pause is None else RetryAfter(pause, str(failed))


def _fatal(
    error: ModelAPIError, name: str, status: int | None, said: str, variables: tuple[str, ...], address: str
) -> Fatal | None:
    """Return the exception for an error after which the same request is useless; None if it may succeed later."""
    keys = " or ".join(variables)
    kind = Fatal
    match error:
        case ModelQuotaExceededError():
            kind = QuotaExceeded
            sentence = (
                f"the account for the model {name!r} has no credit or quota left{said}: top it up or raise its limit"
            )
        case _ if _is_too_long(error, status):
            kind = ContextTooLong
            sentence = (
                f"the conversation is longer than the model {name!r} can read{said}: shorten it, or use a model that "
                f"reads more"
            )
        case _ if isinstance(error, ModelAuthenticationError) or (status == _BAD_REQUEST and _BAD_KEY in said):
            check = f"check the key in {keys}, and what it may use" if keys else "check the credentials"
            sentence = f"the provider of {name!r} does not accept the key (status {status}){said}: {check}"
        case ModelNotFoundError():
            hint = error.suggested_model_id if isinstance(error, ModelHTTPError) else None
            check = f"did you mean {hint!r}?" if hint else "check its name in the provider's list of models"
            path = f"; {_lead(address, name)}" if address else ""
            sentence = f"the provider does not know the model {name!r}{said}: {check}{path}"
        case ModelRequestRejectedError():
            sentence = f"the provider of {name!r} rejected the request (status {status}){said}"
        case _ if status is not None and status < _FIRST_SERVER_ERROR and status not in _TEMPORARY:
            sentence = f"the provider of {name!r} rejected the request (status {status}){said}"
        case _:
            return None
    return kind(sentence)


def _unreadable(name: str, said: str, address: str) -> ModelFailed:
    check = f"; if every answer is like this, {address} leads elsewhere: {_lead(address, name)}" if address else ""
    return ModelFailed(f"the model {name!r} gave an answer that cannot be read{said}{check}")


def _lead(address: str, name: str) -> str:
    """Return what an address has to be. Only the libraries that speak OpenAI's protocol leave its version to it."""
    provider = provider_of(name)
    openai = provider is not None and provider.package == "openai"
    end = "with `/v1` at the end for most servers" if openai else "without a version such as `/v1` at the end"
    return f"{address} must lead to its API, {end}"


def _is_too_long(error: ModelAPIError, status: int | None) -> bool:
    """Return whether a request was refused for its length. The words of llama.cpp are not known to the library."""
    if isinstance(error, ModelContextWindowExceededError) or status == _TOO_LARGE:
        return True
    return _CONTEXT_SIZE in _message(error.body) or _CONTEXT_SIZE in error.message


def _failed(error: ModelAPIError, name: str, status: int | None, said: str, address: str) -> ModelFailed:
    match error:
        case ModelRequestTimeout() | ModelTimeoutError():
            sent = getattr(error, "phase", None) not in _NOT_SENT
            return ModelFailed(f"the model {name!r} did not answer in time{said}", sent=sent)
        case ModelConnectionError(phase=phase) if phase in _NOT_SENT:
            check = f": check that a server runs at {address}" if address else ""
            failed = ModelFailed(f"the model {name!r} cannot be reached{said}{check}", sent=False)
            failed.__cause__ = ConnectionError("no connection was made")  # so that a proxy that is withheld is named
            return failed
        case ModelConnectionError():
            return ModelFailed(f"the connection to the model {name!r} broke before the whole answer came{said}")
        case ModelServerError() | ModelUnavailableError():
            number = "" if status is None else f" (status {status})"
            return ModelFailed(f"the provider of {name!r} has an error of its own{number}{said}", status=status)
        case _ if status is not None:
            return ModelFailed(f"the provider of {name!r} could not answer (status {status}){said}", status=status)
        case _:
            return _unreadable(name, said, address)


def _redirected(error: ModelAPIError, name: str, address: str) -> ModelFailed | None:
    """Return the exception for a redirect, of which only the cause of the library's error tells; None for others."""
    status = getattr(error.__cause__, "status_code", None) or getattr(error.__cause__, "code", None)
    if not isinstance(status, int) or status not in _REDIRECTS:
        return None
    check = f": {_lead(address, name)}" if address else ""
    sentence = (
        f"the provider of {name!r} redirects to another address (status {status}), and redirects are not followed"
    )
    return ModelFailed(f"{sentence}{check}", status=status)


# ---------------------------------------------------------------- pauses


def pause_of(error: ModelAPIError) -> float | None:
    """Return the seconds that a provider asks to wait, at most an hour; None if it asks for none."""
    asked = None if not isinstance(error, ModelHTTPError) or error.headers is None else _in_headers(error.headers)
    found = error.retry_after if asked is None else asked
    return None if found is None or not math.isfinite(found) or found < 0 else min(found, LONGEST_PAUSE)


def _in_headers(headers: Mapping[str, str]) -> float | None:
    """Read ``retry-after-ms``, or ``Retry-After`` as seconds, which may have a fraction, or as a date."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        due = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    due = due if due.tzinfo is not None else due.replace(tzinfo=UTC)
    return max(0.0, (due - datetime.now(UTC)).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


# ---------------------------------------------------------------- words


def _said(error: ModelAPIError, redact: Callable[[str], str]) -> str:
    """Return the provider's own words in parentheses, or a reason that is known; empty if there are none."""
    words = _first_line(redact(_message(error.body)))
    if not words and not isinstance(error, ModelHTTPError):
        words = _first_line(redact(error.message))
    return f" ({words})" if words else ""


def _message(body: object) -> str:
    """Return the message in the body of an error; of other bodies, such as pages of a proxy, the text."""
    if isinstance(body, str):
        return body
    if not isinstance(body, Mapping):
        return ""
    fields = cast("Mapping[str, Any]", body)
    inner = fields.get("error", fields)
    words = cast("Mapping[str, Any]", inner).get("message") if isinstance(inner, Mapping) else inner
    return words if isinstance(words, str) else ""


def _named(error: Exception, redact: Callable[[str], str]) -> str:
    words = _first_line(redact(str(error)))
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _first_line(text: str) -> str:
    """Return the first line of a text, as one line of bounded length."""
    line = next((each.strip() for each in text.splitlines() if each.strip()), "")
    return line if len(line) <= _QUOTED else f"{line[:_QUOTED]}..."
