"""Keys, certificates and kubeconfigs of one cluster, made with openssl; valid for a year, readable by root only.

Called by `control_plane` and `cluster`. Each component has its own certificate; people use the admin one.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atheria_local.shell import run

DAYS = "365"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Paths of a key and its certificate."""

    key: Path
    certificate: Path


class Authority:
    """A certificate authority in a folder; makes what is missing and keeps what is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.certificate = folder / "ca.crt"
        self._key = folder / "ca.key"
        if not self.certificate.exists():
            self._openssl("req", "-x509", *_new_key(self._key), "-out", str(self.certificate), "-days", DAYS,
                          "-subj", "/CN=atheria-local",
                          "-addext", "basicConstraints=critical,CA:TRUE",
                          "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip

    def issue(self, common_name: str, organization: str = "", names: Sequence[str] = ()) -> Certificate:
        """A certificate for client and server use; `names` are like `DNS:kubernetes` or `IP:127.0.0.1`."""
        stem = common_name.replace(":", "-")
        made = Certificate(key=self._folder / f"{stem}.key", certificate=self._folder / f"{stem}.crt")
        if made.certificate.exists():
            return made
        subject = (f"/O={organization}" if organization else "") + f"/CN={common_name}"
        request, extensions = self._folder / f"{stem}.csr", self._folder / f"{stem}.ext"
        self._openssl("req", *_new_key(made.key), "-out", str(request), "-subj", subject)
        lines = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth,clientAuth"]
        extensions.write_text(
            "\n".join([*lines, *([f"subjectAltName={','.join(names)}"] if names else [])]) + "\n"
        )
        self._openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key),
                      "-CAcreateserial", "-out", str(made.certificate), "-days", DAYS,
                      "-extfile", str(extensions))  # fmt: skip
        request.unlink()
        extensions.unlink()
        return made

    def beside(self, name: str) -> Authority:
        """Another authority, in a folder of its own below this one's."""
        return Authority(self._folder / name)

    def signing_key(self, name: str) -> Path:
        """A private key for service-account tokens."""
        key = self._folder / f"{name}.key"
        if not key.exists():
            # Kubernetes reads the traditional EC format here, which genpkey does not write.
            self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
        return key

    def kubeconfig(self, file: Path, server: str, client: Certificate) -> Path:
        """Write a kubeconfig (JSON is YAML) for `server`, mode 0600."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "atheria-local",
                    "cluster": {"server": server, "certificate-authority-data": _data(self.certificate)},
                }
            ],
            "users": [
                {
                    "name": "atheria-local",
                    "user": {
                        "client-certificate-data": _data(client.certificate),
                        "client-key-data": _data(client.key),
                    },
                }
            ],
            "contexts": [
                {"name": "atheria-local", "context": {"cluster": "atheria-local", "user": "atheria-local"}}
            ],
            "current-context": "atheria-local",
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as output:
            json.dump(content, output, indent=1)
        return file

    @staticmethod
    def _openssl(*arguments: str) -> None:
        run(["openssl", *arguments])


def _new_key(file: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(file)]


def _data(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
