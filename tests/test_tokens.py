"""Signed tokens at their limits: the last second, the longest token, a key of another length."""

import base64
import stat
from pathlib import Path

import pytest

from imagenetd.errors import ConfigError, StoreError
from imagenetd.qc.annotate import tokens
from imagenetd.qc.annotate.tokens import Badge, Signer, read_or_make_key, require_worker_name

SIGNER = Signer(bytes(range(32)))


def test_a_badge_ends_with_the_second_that_it_names() -> None:
    token = SIGNER.token("session", Badge("anna", 1_000, "s"))
    assert SIGNER.badge("session", token, now=999.999) == Badge("anna", 1_000, "s")
    assert SIGNER.badge("session", token, now=1_000) is None
    assert SIGNER.badge("session", token, now=1_000.5) is None


def test_a_token_of_1024_characters_is_read_and_a_longer_one_is_not() -> None:
    for session, is_read in (("s" * 722, True), ("s" * 723, False)):
        badge = Badge("anna", 9, session)
        token = SIGNER.token("session", badge)
        assert (len(token) <= 1024) is is_read
        assert (SIGNER.badge("session", token, now=0) == badge) is is_read
    assert len(SIGNER.token("session", Badge("anna", 9, "s" * 722))) == 1024


@pytest.mark.parametrize("session", ["", "s", "ss", "sss"])
def test_a_token_says_what_was_put_into_it_whatever_its_length(session: str) -> None:
    badge = Badge("ben", 5, session)
    token = SIGNER.token("session", badge)
    assert "=" not in token
    assert SIGNER.badge("session", token, now=4) == badge
    assert SIGNER.badge("invitation", token, now=4) is None
    assert Signer(bytes(32)).badge("session", token, now=4) is None


@pytest.mark.parametrize("token", ["", ".", "abc", "a.b", "*.*", "é.é", "YQ.YQ.YQ"])
def test_what_is_no_token_is_no_badge(token: str) -> None:
    assert SIGNER.badge("session", token, now=0) is None


def test_every_change_of_a_token_makes_it_void() -> None:
    token = SIGNER.token("session", Badge("anna", 9, "s"))
    for place, letter in enumerate(token):
        changed = token[:place] + ("A" if letter != "A" else "B") + token[place + 1 :]
        assert SIGNER.badge("session", changed, now=0) is None
    for more in (".x", "=", "\n", " ", "!"):
        assert SIGNER.badge("session", f"{token}{more}", now=0) is None


def test_a_name_has_22_letters_and_a_secret_32_bytes_by_purpose_and_parts() -> None:
    names = {
        SIGNER.name(purpose, *parts) for purpose in ("image", "task") for parts in ((1, "a"), (1, "b"), ())
    }
    assert len(names) == 6 and {len(name) for name in names} == {22}
    assert SIGNER.name("image", 1, "a") == SIGNER.name("image", 1, "a")
    secret = SIGNER.secret("image", 1, "a")
    assert len(secret) == 32 and secret != SIGNER.secret("image", 1, "b") != SIGNER.secret("task", 1, "b")
    assert base64.urlsafe_b64encode(secret).decode()[:22] == SIGNER.name("image", 1, "a")


def test_the_signature_is_that_of_the_standard() -> None:
    # HMAC-SHA256 of the text before the dot, with a key that is HMAC-SHA256 of the purpose: computed with openssl.
    assert SIGNER.token("session", Badge("anna", 9, "s")) == (
        "WyJhbm5hIiw5LCJzIl0.oONJcgF7iHsepVPatFPjIAwVbD9jmqUykp365LctRqI"
    )


@pytest.mark.parametrize("name", ["a", "A9", "a.b_c-d", "a" * 64, "7"])
def test_a_name_that_can_be_a_workers(name: str) -> None:
    assert require_worker_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "a--b", "a" * 65, "a/b", "a b", "ä", "a\n"])
def test_a_name_that_can_be_no_workers(name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be a worker's name\. Use 1 to 64"):
        require_worker_name(name)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "votes" / "key"
    key = read_or_make_key(path)
    assert len(key) == 32 and read_or_make_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["key"]
    assert read_or_make_key(tmp_path / "other" / "key") != key


def test_of_two_keys_made_at_once_the_first_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"

    def another_comes_first(count: int) -> bytes:
        path.write_bytes(b"f" * 32)
        return b"s" * count

    monkeypatch.setattr(tokens.secrets, "token_bytes", another_comes_first)
    assert read_or_make_key(path) == b"f" * 32
    assert [one.name for one in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "key").write_bytes(b"k" * size)
    with pytest.raises(StoreError, match=r"key is damaged\. Delete it and invite the workers again"):
        read_or_make_key(tmp_path / "key")


def test_a_folder_in_the_place_of_the_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with pytest.raises(StoreError, match="key is damaged"):
        read_or_make_key(tmp_path / "key")
