"""Files over HTTP: resumed where they were cut, and taken only if their checksum is right."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

BLOCK = 1 << 18
# A connection that ends early is taken up again by itself so many times.
ATTEMPTS = 3
TIMEOUT_SECONDS = 30.0

Report = Callable[[str, int, int | None], None]
"""Told the file's name, the bytes that are there, and how many there will be if known."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch: its name below the address of its source, and its published checksum, of
    which the SHA-256 is taken where both are known.
    """

    name: str
    md5: str = ""
    sha256: str = ""

    @property
    def checksum(self) -> str:
        """The checksum that the file must have, in hexadecimal digits."""
        return self.sha256 or self.md5

    @property
    def algorithm(self) -> str:
        """Whose checksum it is, as a message says it."""
        return "SHA-256" if self.sha256 else "MD5"

    def digest(self, path: Path) -> str:
        """Return the checksum of the file at a path."""
        with path.open("rb") as file:
            # For the checksum that was published, not for security.
            make = hashlib.sha256 if self.sha256 else hashlib.md5
            return hashlib.file_digest(file, lambda: make(usedforsecurity=False)).hexdigest()


class Interrupted(ValueError):
    """A download that ended early. The part received is kept and resumed from."""


def silent(name: str, done: int, total: int | None) -> None:
    """The report that shows nothing."""


def download(base: str, file: RemoteFile, folder: Path, report: Report = silent) -> Path:
    """Fetch one file into `folder`; return where it lies, its checksum verified.

    Until it is complete it has the ending ``.part``, which a later call goes on with. A complete
    file with another checksum is deleted.

    Parameters
    ----------
    base
        The address, http or https, that the file's name is appended to.
    file
        What to fetch.
    folder
        Where to; it is made.
    report
        Called after every block.

    Raises
    ------
    ValueError
        Where the address cannot be reached or has no such file, the connection ends early, the
        checksum is wrong, or the folder cannot be written.
    """
    if not base.startswith(("http://", "https://")):
        raise ValueError(f"{base} must begin with http:// or https://.")
    url, target = f"{base.rstrip('/')}/{file.name}", folder / file.name
    part = target.with_name(target.name + ".part")
    try:
        if not target.is_file():
            _complete(url, file, part, report)
            _verify(url, file, part)
            part.replace(target)
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be written ({error.strerror or error}). "
            "Name another folder with --to."
        ) from None
    return target


def _complete(url: str, file: RemoteFile, part: Path, report: Report) -> None:
    """Fetch what is missing of a file that may have been begun."""
    for attempt in range(1, ATTEMPTS + 1):
        before = part.stat().st_size if part.is_file() else 0
        if before and file.digest(part) == file.checksum:
            return  # it was cut after its last byte
        try:
            _fetch_rest(url, file, part, report)
            return
        except Interrupted:
            came = part.stat().st_size if part.is_file() else 0
            if attempt == ATTEMPTS or came == before:
                raise


def _fetch_rest(url: str, file: RemoteFile, part: Path, report: Report) -> None:
    """One request for what comes after the bytes that are there."""
    begun = part.stat().st_size if part.is_file() else 0
    with _open(url, begun) as response:
        resumed = response.status == 206 and _starts_at(response, begun)
        begun = begun if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = begun + int(length) if length.isdecimal() else None
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab" if resumed else "wb") as out:
            done = _copy(response, out, begun, lambda n: report(file.name, n, total), url)
    if total is not None and done != total:
        raise Interrupted(
            f"{url} ended after {done} of {total} bytes. Run the same command again; it goes on "
            "from there."
        )


def _open(url: str, begun: int) -> Any:
    """The response to a request for the bytes from `begun` on; of the whole file where the server
    has no more than `begun`.
    """
    headers = {"User-Agent": "lopt"} | ({"Range": f"bytes={begun}-"} if begun else {})
    elsewhere = "Name another address that has the file with --url, or go on once it answers."
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if begun and error.code == 416:
            return _open(url, 0)
        raise ValueError(f"{url} answers {error.code} {error.reason}. {elsewhere}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ValueError(
            f"{url} cannot be reached ({reason}). Connect this machine to the network, or name "
            "another address with --url; data fetched elsewhere can be copied."
        ) from None


def _starts_at(response: Any, begun: int) -> bool:
    """Whether a partial response is the part that was asked for."""
    return response.headers.get("Content-Range", "").startswith(f"bytes {begun}-")


def _copy(response: Any, out: BinaryIO, begun: int, report: Callable[[int], None], url: str) -> int:
    """Write the body block by block; return the bytes that are there in all."""
    done = begun
    while True:
        try:
            block = response.read1(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise Interrupted(
                f"{url} ended after {done} bytes ({error}). Run the same command again; it goes on "
                "from there."
            ) from None
        if not block:
            return done
        out.write(block)
        done += len(block)
        report(done)


def _verify(url: str, file: RemoteFile, part: Path) -> None:
    found = file.digest(part)
    if found != file.checksum:
        part.unlink()
        raise ValueError(
            f"{url} has {file.algorithm} {found}; the published file has {file.checksum}. What "
            "came was deleted; fetch it again, or from another address with --url."
        )
