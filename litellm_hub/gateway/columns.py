"""Makes values fit the columns of LiteLLM's log: PostgreSQL refuses nothing that comes from here."""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

NAME_CHARACTERS = 256  # of ids and names: an index takes 2,704 bytes
METADATA_BYTES = 64 << 10
_JSON = frozenset({"metadata", "request_tags", "messages", "response", "proxy_server_request"})
_INT4 = 2**31 - 1


def fitting(name: str, value: Any) -> Any:
    """Return `value` as the column `name` takes it.

    Ids and names are cut to `NAME_CHARACTERS`, whole numbers to the column's range; a JSON text becomes what it says,
    and metadata of more than `METADATA_BYTES` gives way to a word about it.
    """
    if name in _JSON and isinstance(value, str):
        value = _parsed(value)
    value = storable(value)
    if name == "request_tags":
        return list(dict.fromkeys(str(tag)[:NAME_CHARACTERS] for tag in value)) if isinstance(value, list) else []
    if name == "metadata" and len(json.dumps(value)) > METADATA_BYTES:
        return {"left_out": f"more than {METADATA_BYTES} bytes"}
    if isinstance(value, str) and name not in _JSON:
        return value[:NAME_CHARACTERS]
    return max(-_INT4, min(value, _INT4)) if isinstance(value, int) else value


def current(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a journal entry in today's form: one that an earlier version left holds LiteLLM's own `payload`."""
    if "payload" not in entry:
        return entry
    row = {name: fitting(name, value) for name, value in entry["payload"].items()}
    return {"id": entry["id"], "row": row, "endpoint": "", "project": entry["spend"].get("project_id"), "windows": []}


def storable(value: Any) -> Any:
    """Return `value` as JSON that PostgreSQL stores: without NUL, lone surrogates, and numbers that are none."""
    if isinstance(value, str):
        text = value.replace("\x00", "")
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {storable(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, date):
        return value.isoformat()
    return [storable(item) for item in value] if isinstance(value, Iterable) else storable(str(value))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
