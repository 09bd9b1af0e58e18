"""Keeping secrets of a notebook out of what a model is sent.

Names decide: a variable, column or key called like a password, token or key loses its value, and so does what a text
assigns to such a name. This is a net with a fine mesh, no wall: a secret under an innocent name goes through.
"""

from __future__ import annotations

import re

MASK = "[masked]"

# Ends of a word that give a name away wherever the word stands (PGPASSWORD, client_secret_file).
_STRONG = ("password", "passwd", "pwd", "passphrase", "secret", "secrets", "credential", "credentials", "apikey")
_WEAK = {"key", "keys", "token"}  # as the last word of a name only: a token count or a key column's type is harmless
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_KNOWN = re.compile(r"\b(?:sk-[\w-]{8,}|gh[pousr]_\w{20,}|AKIA[A-Z0-9]{12,}|xox[abpr]-[\w-]{10,}|hf_\w{20,})")
_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_ASSIGNED = re.compile(
    r"""(?P<name>[\w-]{2,64})(?P<between>["']?\s{0,4}[:=]\s{0,4})(?P<quote>["'])(?P<value>[^"'\n]{3,})(?P=quote)"""
)
_SETTING = re.compile(r"\b(?P<name>[A-Z][A-Z0-9_]{1,63})(?P<between>=)(?P<value>[^\s\"']\S{2,})$", re.MULTILINE)


def looks_secret(name: str) -> bool:
    """Tell whether a thing of this name is likely to be a secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    return bool(words) and (words[-1] in _WEAK or any(word.endswith(_STRONG) for word in words))


def mask_text(text: str) -> str:
    """Return `text` with `[masked]` for what looks secret in it.

    That is private keys, keys of well-known forms, and what is assigned to a name that looks secret: quoted texts, and
    the values of settings in files of the form `NAME=value`.
    """
    text = _PEM.sub(rf"\1{MASK}\2", text)
    text = _KNOWN.sub(MASK, text)
    text = _SETTING.sub(lambda found: _assigned(found, ""), text)
    return _ASSIGNED.sub(lambda found: _assigned(found, found["quote"]), text)


def _assigned(found: re.Match[str], quote: str) -> str:
    if not looks_secret(found["name"]):
        return found[0]
    return f"{found['name']}{found['between']}{quote}{MASK}{quote}"
