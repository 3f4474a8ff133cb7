"""What looks like a secret by its name or by what it holds, and what only sounds like one."""

import pytest

from greenroom.messages.secrets.detection import looks_secret, url_secrets
from greenroom.messages.secrets.redaction import secret_values
from greenroom.messages.secrets.withheld_hints import missing_names

PLAIN_VALUE = "Xy7-plain"


@pytest.mark.parametrize(
    "name",
    [
        *("OPENAI_API_KEY", "openai_api_key", "openaiApiKey", "APIKEY", "API_KEY_2", "STRIPE_KEY_LIVE", "KEY"),
        *("GITHUB_TOKEN", "GH_TOKEN_PROD", "npm_config__authToken", "TOKEN", "AWS_SESSION_TOKEN"),
        *("DJANGO_SECRET_KEY", "CLIENT_SECRET", "MySecretThing", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        *("DB_PASSWORD", "PGPASSWORD", "MYSQL_PASSWD", "MYSQL_PWD", "SMTP_PASS", "SSHPASS", "GPG_PASSPHRASE"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "credentials", "REDISCLI_AUTH", "SESSION_COOKIE", "SERVICE_JWT"),
        *("TLS_PRIVATE_KEY", "private-key", "HASHIDS_SALT"),
    ],
)
def test_a_name_gives_a_secret_away(name: str) -> None:
    assert looks_secret(name, PLAIN_VALUE)


@pytest.mark.parametrize(
    "value",
    [
        *("postgresql://me:hunter2@db/app", "redis://:hunter2@cache:6379/0", "amqp://a:b@c//", "http://u:p@proxy:3128"),
        *("https://ghs0123456789abcdef@github.com/a/b", "host=db user=me password=hunter2", "Server=x;Pwd=hunter2;"),
        *("https://hooks.slack.com/services/T0/B0/x", "https://x/y?sig=abc&z=1", "Bearer abcdefghij"),
        *("sk-proj-abcdefghijklmnopqrst", "ghp_abcdefghijklmnopqrstuvwx", "AKIAABCDEFGHIJKLMNOP"),
        *("-----BEGIN RSA PRIVATE KEY-----\nabc", '{"client_secret": "x"}', "eyJhbGciOiJ.eyJzdWIiOiJ.c2ln"),
    ],
)
def test_what_it_holds_gives_a_secret_away_whatever_it_is_called(value: str) -> None:
    assert looks_secret("WHATEVER", value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "/some/where") for name in ("PATH", "HOME", "PWD", "OLDPWD", "PYTHONPATH", "SSH_AUTH_SOCK", "TMPDIR")),
        *((name, "value") for name in ("MONKEY", "KEYBOARD", "HOTKEYS", "TURKEY", "COMPASS", "BYPASS", "TOKENIZER")),
        *((name, "false") for name in ("TOKENIZERS_PARALLELISM", "USE_API_KEY", "REQUIRE_TOKEN")),
        *((name, "4096") for name in ("MAX_TOKENS", "TOKENS", "TOKEN_LIMIT", "KEY_LENGTH")),
        *((name, "/run/x") for name in ("API_KEY_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "SSL_KEY_PATH", "SSH_ASKPASS")),
        *((name, "pk_x") for name in ("STRIPE_PUBLISHABLE_KEY", "SSH_PUBLIC_KEY")),
        *(("HTTPS_PROXY", "http://proxy:3128"), ("DATABASE_URL", "postgresql://me@db/app"), ("GIT", "ssh://git@h/x")),
        *(("API_KEY", ""), ("LANG", "C.UTF-8"), ("TZ", "Europe/Berlin"), ("GREENROOM_MODEL", "openai:gpt-5")),
        *(("PYTEST_CURRENT_TEST", "tests/test_x.py::test_token (call)"), ("PS1", r"\u@\h:\w\$ "), ("AUTHOR", "me")),
    ],
)
def test_what_only_sounds_like_one_is_none(name: str, value: str) -> None:
    assert not looks_secret(name, value)


def test_the_password_of_a_url_is_taken_out_alone_as_well() -> None:
    url = "postgresql://me:hunter%20two@db/app"
    assert url_secrets(url) == ("hunter%20two", "hunter two")
    assert secret_values({"DATABASE_URL": url, "HOME": "/home/somebody"}) == {url, "hunter%20two", "hunter two"}


def test_a_home_that_was_handed_over_by_name_is_no_secret_and_what_else_was_is_one() -> None:
    environ = {"HOME": "/home/somebody", "LOGIN_AT": "station-eleven", "REGION": "eu-central-1"}
    assert secret_values(environ, ["HOME", "LOGIN_AT"]) == {"station-eleven"}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("KeyError: 'APP_TOKEN'", ["APP_TOKEN"]),
        ("APP_TOKEN not found. Declare it as envvar or define a default value.", ["APP_TOKEN"]),
        ("1 validation error for Settings\napp_token\n  Field required [type=missing]", ["APP_TOKEN"]),
        ("1 validation error for Settings\ntoken\n  Field required [type=missing]", ["APP_TOKEN"]),
        ("KeyError: 'MY_APP_TOKENS'", []),
        ("token\n  Input should be a valid integer", []),
        ("no KEY here", ["KEY"]),
        ("monkey and key", []),
    ],
)
def test_an_error_names_the_variable_that_is_missing(said: str, found: list[str]) -> None:
    assert missing_names(said, ["APP_TOKEN", "KEY"]) == found
