#!/usr/bin/python
"""Ansible module: a release of Ollama, verified and unpacked."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_release
short_description: Download, verify and unpack a release of Ollama
description:
  - Takes the checksum from the C(sha256sum.txt) that is published beside the archive; none is ever guessed.
  - A version that is there needs no network. A new one is made beside the running one, whole or not at all;
    an interrupted download is resumed.
  - Unpacks with the Python package zstandard, or the program zstd where the package is missing.
options:
  url:
    description: Where the release's files are; http, https or file.
    type: str
    required: true
  version:
    description: The release's number.
    type: str
    required: true
  folder:
    description: Holds one folder for each version. All versions but this one and the last before it are removed.
    type: path
    required: true
  downloads:
    description: Holds the archive until it is unpacked.
    type: path
    required: true
  timeout:
    description: Seconds of silence after which the source counts as not answering.
    type: int
    default: 30
  progress_log:
    description: File that gets lines of progress.
    type: path
author: GenAI Labs
"""

RETURN = r"""
path:
  description: The version's folder.
  type: str
  returned: always
"""

import errno
import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
from http.client import HTTPException
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ansible.module_utils.lab_progress import Progress
from ansible.module_utils.lab_versioned import is_complete, make

try:
    import zstandard

    BROKEN = (zstandard.ZstdError,)
except ImportError:
    zstandard, BROKEN = None, ()

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ATTEMPTS = 3
CHUNK = 1 << 20


class ReleaseError(Exception):
    """The release cannot be had; the text says why and what helps."""


def published_checksum(text: str, name: str, url: str) -> str:
    """The digest that the lines `<hex>  ./<name>` of a checksum file state for `name`.

    Raises:
        ReleaseError: it states none.
    """
    for line in text.splitlines():
        digest, _, file = line.partition(" ")
        if file.strip().lstrip("*").removeprefix("./") == name and len(digest) == 64:
            return digest.lower()
    raise ReleaseError(
        f"{url} names no checksum for {name}, so it cannot be verified. "
        "Choose another ollama_version, or an ollama_download_url that publishes one."
    )


def fetch(url: str, timeout: int, start: int = 0):
    """Open a URL from byte `start` on.

    Raises:
        ReleaseError: it does not answer.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        return open_url(url, headers=headers, timeout=timeout, http_agent="genailabs")
    except OSError as error:
        raise ReleaseError(
            f"{url} does not answer: {error}. Check the network, or name a mirror with ollama_download_url."
        ) from error


def sha256_of(path: Path) -> str:
    """The file's sha256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, target: Path, timeout: int, progress: Progress) -> None:
    """Download to `target`, going on where an earlier attempt ended.

    Raises:
        ReleaseError: it does not get there in `ATTEMPTS` attempts.
    """
    problem: Exception | None = None
    for _ in range(ATTEMPTS):
        start = target.stat().st_size if target.exists() else 0
        try:
            with fetch(url, timeout, start) as source, target.open("ab") as file:
                if start and getattr(source, "status", None) != 206:
                    file.truncate(start := 0)
                total = start + int(source.headers.get("Content-Length") or 0)
                while chunk := source.read(CHUNK):
                    file.write(chunk)
                    progress.bytes(file.tell(), total)
                if file.tell() >= total:
                    return
                problem = ReleaseError(f"{url} ended early")
        except (OSError, HTTPException, ReleaseError) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise ReleaseError(
                    f"{target.parent} is full. Make room there; the download goes on where it ended."
                ) from error
            problem = error
    raise ReleaseError(
        f"{problem} ({ATTEMPTS} attempts). Nothing that runs was touched; the next run goes on where it ended."
    )


def open_archive(archive: Path):
    """The archive's content as a stream of tar, and the process that makes it if there is one.

    Raises:
        ReleaseError: this machine has nothing for Zstandard.
    """
    if zstandard is None:
        program = shutil.which("zstd")
        if program is None:
            raise ReleaseError(
                "Neither the Python package zstandard nor the program zstd is on the host. "
                "Install one, on Debian and Ubuntu: apt-get install zstd."
            )
        process = subprocess.Popen([program, "-dc", "--", str(archive)], stdout=subprocess.PIPE)
        return process.stdout, process
    return zstandard.ZstdDecompressor().stream_reader(archive.open("rb"), read_across_frames=True), None


def sound_members(content: tarfile.TarFile, folder: Path):
    """The archive's members one by one, harmless.

    They are to be extracted as they come, as a link decides where the next one goes.

    Python's own filter for this came with 3.11.4, after the 3.11 of Debian 12.

    Raises:
        ReleaseError: one would land, or points, outside the folder, or is neither file, folder nor link.
    """
    root = folder.resolve()
    for member in content:
        places = [root / member.name]
        if member.issym():
            places.append(places[0].parent / member.linkname)
        elif member.islnk():
            places.append(root / member.linkname)
        elif not (member.isfile() or member.isdir()):
            raise ReleaseError(f"{member.name} in the archive is neither file, folder nor link.")
        if not all(place.resolve().is_relative_to(root) for place in places):
            raise ReleaseError(f"{member.name} in the archive is outside the destination.")
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        member.mode &= 0o755
        yield member


def unpack(archive: Path, folder: Path) -> None:
    """Unpack into `folder`; members that point outside it are refused.

    Raises:
        ReleaseError: the archive is broken, unsafe, or no release of Ollama.
    """
    folder.mkdir(parents=True)
    stream, process = open_archive(archive)
    try:
        with stream, tarfile.open(fileobj=stream, mode="r|") as content:
            content.extraction_filter = lambda member, _: member  # sound_members did what a filter does
            content.extractall(folder, members=sound_members(content, folder))
    except (tarfile.TarError, EOFError, ValueError, *BROKEN) as error:
        raise ReleaseError(f"{archive.name} cannot be unpacked: {error}.") from error
    finally:
        if process:
            process.wait()
    if not os.access(folder / "bin" / "ollama", os.X_OK):
        raise ReleaseError(f"{archive.name} holds no bin/ollama: it is no release of Ollama.")
    # The service's account reads it, whatever the caller's umask and the archive say.
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))


def bring(params: dict, folder: Path) -> None:
    """Download, verify and unpack one version.

    Raises:
        ReleaseError: any of it is not possible.
    """
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        raise ReleaseError(f"Ollama publishes nothing for {platform.machine()}. Choose lab_runtime=llama_cpp.")
    name = f"ollama-linux-{architecture}.tar.zst"
    checksums = f"{params['url']}/sha256sum.txt"
    with fetch(checksums, params["timeout"]) as source:
        wanted = published_checksum(source.read().decode(errors="replace"), name, checksums)
    archive = Path(params["downloads"]) / f"ollama-{params['version']}-{wanted[:12]}.tar.zst.part"
    archive.parent.mkdir(parents=True, exist_ok=True)
    progress = Progress(params["progress_log"], f"Ollama {params['version']}")
    url = f"{params['url']}/{name}"
    if not archive.exists() or sha256_of(archive) != wanted:
        download(url, archive, params["timeout"], progress)
    found = sha256_of(archive)
    if found != wanted:
        archive.unlink()
        raise ReleaseError(
            f"{url} differs from its published checksum (sha256 {found}, {checksums} says {wanted}); "
            "it was removed and nothing that runs was touched. "
            "Try again later, or check the mirror named by ollama_download_url."
        )
    progress.say("unpacking")
    make(folder, lambda place: unpack(archive, place))
    archive.unlink()


def remove_older(folder: Path) -> None:
    """Remove all other versions but the newest."""
    others = sorted(
        (path for path in folder.parent.iterdir() if path.is_dir() and path != folder),
        key=lambda path: path.stat().st_mtime,
    )
    for path in others[:-1]:
        shutil.rmtree(path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "downloads": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 30},
            "progress_log": {"type": "path"},
        },
        supports_check_mode=True,
    )
    folder = Path(module.params["folder"]) / module.params["version"]
    if is_complete(folder) or module.check_mode:
        module.exit_json(changed=not is_complete(folder), path=str(folder))
    try:
        bring(module.params, folder)
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"Ollama {module.params['version']} cannot be installed: {error}. Nothing that runs was touched."
        )
    remove_older(folder)
    module.exit_json(changed=True, path=str(folder))


if __name__ == "__main__":
    main()
