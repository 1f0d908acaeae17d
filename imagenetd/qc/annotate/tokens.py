"""Signed tokens: who may answer, until when; and names for images and tasks that tell nothing."""

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadData
from itsdangerous import Signer as Seal
from itsdangerous.encoding import base64_decode, base64_encode

from imagenetd.errors import ConfigError, StoreError
from imagenetd.store.folders import explained
from imagenetd.store.private import make_private, make_private_folder

KEY_BYTES = 32
NAME_CHARS = 22
"""Length of an opaque name: 132 bits, as long as a random key of that many characters."""
MAX_TOKEN_CHARS = 1024
WORKER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.]|-(?!-)){0,63}")
"""A worker's name stands in file names, where `--` separates it from the task."""


@dataclass(frozen=True, slots=True)
class Badge:
    """What a valid token says."""

    worker: str
    expires: int
    """Unix time, seconds."""
    session: str
    """Random; tells the sessions of one worker apart. Empty in an invitation."""


def require_worker_name(name: str) -> str:
    """Return the name, or raise ConfigError when it cannot be a worker's."""
    if not WORKER.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be a worker's name. Use 1 to 64 letters, digits, dots, underscores and single hyphens."
        )
    return name


class Signer:
    """Makes and checks everything that only the server must be able to make.

    Each purpose has a key of its own, so that a token for one is worthless for another. Tokens are signed by
    itsdangerous (HMAC-SHA256); each says itself when it ends, since an invitation may be good for any time.

    Args:
        key: Secret of this folder, 32 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, purpose: str, badge: Badge) -> str:
        """Return a signed text that says who, until when."""
        said = json.dumps([badge.worker, badge.expires, badge.session], separators=(",", ":")).encode()
        return self._seal(purpose).sign(base64_encode(said)).decode()

    def badge(self, purpose: str, token: str, *, now: float) -> Badge | None:
        """Return what a token says, or None when it is forged, damaged, expired or made for another purpose."""
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            return None
        try:
            badge = Badge(*json.loads(base64_decode(self._seal(purpose).unsign(token))))
        except BadData:
            return None
        # base64 may spell one signature in several ways; only the one that we write is taken.
        return badge if now < badge.expires and token == self.token(purpose, badge) else None

    def name(self, purpose: str, *parts: str | int) -> str:
        """Return a name for something that cannot be guessed and does not tell what it names."""
        return base64_encode(self.secret(purpose, *parts)).decode()[:NAME_CHARS]

    def secret(self, purpose: str, *parts: str | int) -> bytes:
        """Return 32 bytes that only this folder can make, the same each time."""
        said = json.dumps(parts, separators=(",", ":")).encode()
        return hmac.digest(hmac.digest(self._key, purpose.encode(), "sha256"), said, "sha256")

    def _seal(self, purpose: str) -> Seal:
        return Seal(self._key, salt=purpose.encode(), key_derivation="hmac", digest_method=hashlib.sha256)


def read_or_make_key(path: Path) -> bytes:
    """Return the secret of a folder; made at the first call, readable by its owner alone."""
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with explained(path):
            make_private_folder(path.parent)
            with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
                stream.write(secrets.token_bytes(KEY_BYTES))
            with contextlib.suppress(
                FileExistsError
            ):  # two processes came at once: the first one's key stands
                os.link(fresh, path)
            fresh.unlink()
    with explained(path):
        key = make_private(path).read_bytes() if path.is_file() else b""
    if len(key) != KEY_BYTES:
        raise StoreError(f"{path} is damaged. Delete it and invite the workers again: their links are void.")
    return key
