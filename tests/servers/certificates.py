"""A self-signed certificate for a server on loopback, made by keytool, which every Java runtime has."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(store: Path, authority: Path, password: str) -> None:
    """Writes a PKCS12 key store for `localhost` and 127.0.0.1, and its certificate as PEM for clients.

    Raises:
        subprocess.CalledProcessError: keytool refused; its output is in the exception.
    """
    common = ["-alias", "broker", "-keystore", str(store), "-storetype", "PKCS12", "-storepass", password]
    names = ["-dname", "CN=localhost", "-ext", "SAN=dns:localhost,ip:127.0.0.1", "-ext", "BC=ca:true"]
    key = ["-keyalg", "RSA", "-keysize", "2048", "-validity", "365"]
    _keytool("-genkeypair", *common, *names, *key)
    _keytool("-exportcert", "-rfc", *common, "-file", str(authority))


def _keytool(*arguments: str) -> None:
    command = ["keytool", *arguments]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
