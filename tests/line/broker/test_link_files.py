"""The files of the broker's connection: what is wrong with one is said with its name, and nobody is asked."""

import queue
import subprocess
from pathlib import Path

import pytest

from edge_inspector.line.broker.link import ConnectionOptions, connect, files_read
from edge_inspector.settings import MqttSettings, TlsSettings


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate, its key, another key, and its key once more with a pass phrase."""
    folder = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    for name in ("own", "other"):
        out = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
        command = ("openssl", "req", "-x509", *key, "-nodes", "-subj", "/CN=x", *out)
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    command = ("openssl", "pkey", "-in", "own.key", "-aes256", "-passout", "pass:sesame", "-out", "locked.key")
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "no.pem").write_bytes(b"\x30\x82\x01\x0a")
    (folder / "torn.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n")
    return folder


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("none.crt", "", ""), "mqtt.tls.ca {}/none.crt: No such file"),
        (("no.pem", "", ""), "mqtt.tls.ca {}/no.pem: is not PEM"),
        (("torn.pem", "", ""), "mqtt.tls.ca {}/torn.pem: holds no certificate"),
        (("own.crt", "none.crt", "own.key"), "mqtt.tls.certificate {}/none.crt: No such file"),
        (("own.crt", "own.crt", "none.key"), "mqtt.tls.key {}/none.key: No such file"),
        (("own.crt", "own.crt", "other.key"), "mqtt.tls.key {}/other.key: is not the key of mqtt.tls.certificate"),
        (("own.crt", "own.crt", "locked.key"), "mqtt.tls.key {}/locked.key: has a pass phrase"),
        (("own.crt", "own.crt", "no.pem"), "mqtt.tls.key {}/no.pem: is not PEM"),
    ],
)
def test_a_file_of_the_encryption_is_named(pair: Path, files: tuple[str, str, str], words: str) -> None:
    """With its setting; a key with a pass phrase asked for it at the terminal and waited for ever."""
    ca, certificate, key = (pair / name if name else None for name in files)
    assert ca is not None
    said = connect(
        ConnectionOptions(MqttSettings(port=1, tls=TlsSettings(ca=ca, certificate=certificate, key=key)), "x", _inbox())
    )

    assert isinstance(said, str)
    assert said.startswith(words.format(pair))


def test_each_file_that_a_connection_reads_is_told_by_itself(pair: Path, tmp_path: Path) -> None:
    """`check` has a row for each: one that is wrong does not hide the others."""
    tls = TlsSettings(ca=pair / "no.pem", certificate=pair / "own.crt", key=pair / "none.key")
    told = dict(files_read(MqttSettings(username="u", password_file=tmp_path / "none", tls=tls)))

    assert list(told) == ["mqtt.password_file", "mqtt.tls.ca", "mqtt.tls.certificate", "mqtt.tls.key"]
    assert "No such file" in told["mqtt.password_file"]
    assert "is not PEM" in told["mqtt.tls.ca"]
    assert told["mqtt.tls.certificate"] == ""
    assert "No such file" in told["mqtt.tls.key"]
    assert list(files_read(MqttSettings())) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("Schlüssel".encode("cp1252"), "byte 5 is not UTF-8: saved as ANSI"),
        ("secret".encode("utf-16-le"), "UTF-16"),
        (None, "No such file"),
    ],
)
def test_a_password_that_cannot_be_read_is_refused_by_file(tmp_path: Path, content: bytes | None, words: str) -> None:
    """Nothing of it is shown."""
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    said = connect(ConnectionOptions(MqttSettings(port=1, username="u", password_file=file), "x", _inbox()))

    assert isinstance(said, str)
    assert said.startswith(f"mqtt.password_file {file}: ")
    assert words in said
    assert "Schl" not in said


def _inbox() -> "queue.SimpleQueue[object]":
    return queue.SimpleQueue()
