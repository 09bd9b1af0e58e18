"""What looks secret, and what does not."""

from __future__ import annotations

import pytest

from widgets.context.masking import looks_secret, mask_text


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "dbPassword",
        "PGPASSWORD",
        "api_key",
        "apiKey",
        "API_KEY",
        "token",
        "accessToken",
        "key",
        "client-secret",
        "AWS_SECRET_ACCESS_KEY",
        "credentials",
        "apikey",
        "pwd2",
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    ["tokens", "max_tokens", "token_count", "monkey", "keyboard", "key_count", "price", "", "_", "1", "tokenizer"],
)
def test_other_names_are_not_taken_for_secrets(name: str) -> None:
    assert not looks_secret(name)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('password = "hunter2"', 'password = "[masked]"'),
        ("api_key='abcdef'", "api_key='[masked]'"),
        ('{"token": "abc.def", "tokens": "three"}', '{"token": "[masked]", "tokens": "three"}'),
        ("DB_PASSWORD=hunter2\nDB_HOST=localhost", "DB_PASSWORD=[masked]\nDB_HOST=localhost"),
        ("export API_TOKEN=abcdef", "export API_TOKEN=[masked]"),
        ("use sk-abcdefghijkl now", "use [masked] now"),
        ("ghp_abcdefghijklmnopqrstuvwxyz", "[masked]"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", None),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc", None),
        ("token = next(tokens)", "token = next(tokens)"),
        ("max_tokens: '512'", "max_tokens: '512'"),
    ],
)
def test_secrets_in_a_text_are_masked(text: str, masked: str | None) -> None:
    found = mask_text(text)
    if masked is None:
        assert "abc" not in found
        assert "[masked]" in found
    else:
        assert found == masked
