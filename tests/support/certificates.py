"""Certificates for servers under test, and for their clients."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def self_signed(folder: Path, name: str, alternative: str = "IP:127.0.0.1") -> Path:
    """A certificate that signs itself, for `alternative` (say, DNS:localhost), and its key beside it as NAME.key."""
    return _made(folder / f"{name}.crt", alternative)


def signed(folder: Path, name: str, authority: Path) -> Path:
    """A certificate that `authority` has signed, a certificate with its key beside it; its own key is NAME.key."""
    return _made(folder / f"{name}.crt", f"DNS:{name}", "-CA", authority, "-CAkey", authority.with_suffix(".key"))


def _made(certificate: Path, alternative: str, *signer: str | Path) -> Path:
    subject = ["-subj", f"/CN={certificate.stem}", "-addext", f"subjectAltName={alternative}"]
    files = ["-keyout", certificate.with_suffix(".key"), "-out", certificate]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files, *signer]
    subprocess.run(command, check=True, capture_output=True)
    return certificate
