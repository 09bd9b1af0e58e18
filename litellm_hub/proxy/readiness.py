"""What the lab adds to the gateway's answer to `GET /health/readiness`, under the name `lab`."""

from collections.abc import Callable, Mapping

PATH = "/health/readiness"

# Each returns fields for everybody to read, without waiting and without raising; the later wins over one of its name.
SOURCES: list[Callable[[], Mapping[str, object]]] = []


def gathered() -> dict[str, object]:
    """Return the fields of all sources; their values must be JSON's."""
    return {name: value for source in SOURCES for name, value in source().items()}
