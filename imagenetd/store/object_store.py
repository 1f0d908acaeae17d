"""An object store (S3, Google Cloud Storage) through fsspec: whole objects, and one line for whatever it refuses.

Credentials are those of the environment; none is ever read, kept or shown here.
"""

import base64
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from imagenetd.errors import ConfigError, StoreError

PACKAGES = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gcs")}
"""Scheme of a URL -> the package that speaks with the store, and our extra that brings it."""
ATTEMPTS, READS = 8, 4
"""Of one request, with growing waits between them (the library's adaptive mode); of an answer that is cut off."""
CONNECT_S, ANSWER_S = 10, 60
"""A store that is silent for so long is asked again."""
_NOT_ALLOWED = (
    "the credentials of the environment may not do this. Ask for permission, or choose another bucket"
)
_ADVICE = {
    "NoSuchBucket": "there is no such bucket. Make it, or mend paths.output_dir",
    "FileNotFoundError": "there is no such bucket. Make it, or mend paths.output_dir",
    "NoCredentialsError": "no credentials were found. Give them in the environment, e.g. AWS_PROFILE",
    **dict.fromkeys(("PermissionError", "AccessDenied", "403"), _NOT_ALLOWED),
    "InvalidAccessKeyId": "the store does not know the credentials of the environment. Mend them",
    "SignatureDoesNotMatch": "the store does not accept the credentials of the environment. Mend them",
}
_ELSE = "the store or the network failed, also when asked again. Try later"


def is_remote(output_dir: str) -> bool:
    """Tell whether an output folder lies in an object store."""
    return "://" in output_dir and not output_dir.startswith("file://")


def checked_url(url: str) -> SplitResult:
    """Return the parts of a URL; ConfigError, without the URL where it may hold a secret, for one of another kind."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError("paths.output_dir is no URL that can be read. Write s3://bucket/prefix.") from error
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "paths.output_dir is a URL with a user, a password or options (@, ?, #), which logs would show. Write "
            "s3://bucket/prefix, and give credentials in the environment, e.g. AWS_ACCESS_KEY_ID or AWS_PROFILE."
        )
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ConfigError(
                f"paths.output_dir={url}: write file:///folder with three slashes, or a plain path."
            )
        return parts
    if parts.scheme not in PACKAGES:
        raise ConfigError(
            f"paths.output_dir begins with {parts.scheme}://, but results are kept in a folder, s3:// or gs:// only."
        )
    if not parts.netloc:
        raise ConfigError(f"paths.output_dir={url} names no bucket. Write {parts.scheme}://bucket/prefix.")
    return parts


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the store lists it."""

    size: int
    md5: str = ""
    """Hex; empty where the store does not tell it."""


class ObjectStore:
    """The objects below one URL, by their names relative to it.

    Args:
        url: Without a slash at its end.
        attempts: Of one request.
        reads: Of an answer that is cut off.
    """

    def __init__(self, url: str, *, attempts: int = ATTEMPTS, reads: int = READS) -> None:
        self.url, self.attempts, self.reads = url, attempts, reads
        self._opened: tuple[int, Any] | None = None

    def address(self, name: str) -> str:
        """Return the URL of an object."""
        return f"{self.url}/{name}" if name else self.url

    @property
    def _files(self) -> Any:
        """The file system of fsspec; made anew in a forked process, which cannot share connections."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), self._connect())
        return self._opened[1]

    def _connect(self) -> Any:
        scheme = self.url.split("://", 1)[0]
        package, extra = PACKAGES[scheme]
        try:
            __import__(package)
            import fsspec
        except ImportError as error:
            raise ConfigError(
                f"paths.output_dir={self.url} needs the package {package}. Install it: "
                f"pip install imagenetd[{extra}]"
            ) from error
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if scheme == "s3":
            retries = {"mode": "adaptive", "max_attempts": self.attempts}
            times = {"connect_timeout": CONNECT_S, "read_timeout": ANSWER_S}
            options["config_kwargs"] = {"retries": retries, **times}
        with self._refused("open", ""):
            files = fsspec.filesystem(scheme, **options)
        files.retries = self.reads
        return files

    def find(self, name: str, *, is_flat: bool = False) -> dict[str, Stored]:
        """Return all objects below a name, or only those right below it."""
        options = {"maxdepth": 1} if is_flat else {}
        with self._refused("list", name):
            found = self._files.find(self.address(name), detail=True, **options)
        start = len(self.url.split("://", 1)[1]) + 1
        return {key[start:]: Stored(int(facts["size"] or 0), _md5(facts)) for key, facts in found.items()}

    def get(self, name: str, path: Path) -> bool:
        """Write an object to a file; False where there is none."""
        with self._refused("read", name):
            try:
                self._files.get_file(self.address(name), str(path))
            except FileNotFoundError:
                return False
        return True

    def put(self, path: Path, name: str) -> None:
        """Send a file, a large one in parts; it is there whole or not at all."""
        with self._refused("write", name):
            self._files.put_file(str(path), self.address(name))

    def read(self, name: str) -> bytes:
        """Return the bytes of an object; none where there is none."""
        with self._refused("read", name):
            try:
                return bytes(self._files.cat_file(self.address(name)))
            except FileNotFoundError:
                return b""

    def write(self, name: str, data: bytes) -> None:
        """Write an object, over what is there."""
        with self._refused("write", name):
            self._files.pipe_file(self.address(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Write an object that must not exist yet (If-None-Match: *); False where it does."""
        with self._refused("write", name):
            try:
                self._files.pipe_file(self.address(name), data, mode="create")
            except FileExistsError:
                # of two attempts of one request the first may have been heard, and its answer lost
                return self.read(name) == data
            except Exception as error:  # as below
                if _code(error) == "ConditionalRequestConflict":  # two at the same moment
                    return self.read(name) == data
                if _code(error) != "NotImplemented":
                    raise
                self.write(name, data)  # as stores do that do not look at the condition
        return True

    def remove(self, name: str) -> None:
        """Take an object away, if it is there."""
        with self._refused("delete", name), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self.address(name))

    def size(self, name: str) -> int:
        """Return the size of an object; -1 where there is none."""
        with self._refused("read", name):
            try:
                return int(self._files.info(self.address(name))["size"])
            except FileNotFoundError:
                return -1

    @contextlib.contextmanager
    def _refused(self, verb: str, name: str) -> Iterator[None]:
        """Turn what a store answers into one line; no text of the store's, which could say more than it should."""
        try:
            yield
        except (ConfigError, StoreError):
            raise
        except Exception as error:  # every store and its library have families of their own
            code = _code(error)
            is_forbidden = str(error).startswith("Forbidden")  # gcsfs has no type for it
            reason = (
                _NOT_ALLOWED
                if is_forbidden
                else _ADVICE.get(code) or _ADVICE.get(type(error).__name__) or _ELSE
            )
            raise StoreError(
                f"Cannot {verb} {self.address(name)}: {reason} ({code}). Finished work is kept: the same command goes "
                "on from here."
            ) from None


def _md5(facts: dict[str, Any]) -> str:
    """Return the MD5 of an object in hex where the store tells it; for S3 that is the ETag of one that came whole."""
    etag = str(facts.get("ETag") or "").strip('"')
    if len(etag) == 32 and all(letter in "0123456789abcdef" for letter in etag):
        return etag
    with contextlib.suppress(ValueError):
        return base64.b64decode(str(facts.get("md5Hash") or "")).hex()
    return ""


def _code(error: BaseException) -> str:
    """Return what the store calls an error, e.g. `NoSuchBucket`."""
    for one in (error, error.__cause__, error.__context__):
        answer = getattr(one, "response", None)
        if isinstance(answer, dict) and (code := (answer.get("Error") or {}).get("Code")):
            return str(code)[:60]
    return type(error).__name__
