# SPDX-License-Identifier: Apache-2.0
"""An authority of our own and certificates by it, made with openssl."""

import pathlib
import ssl
import subprocess
from typing import NamedTuple


class Pair(NamedTuple):
    certificate: pathlib.Path
    key: pathlib.Path


def openssl(*args):
    done = subprocess.run(
        ["openssl", *map(str, args)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


class Authority:
    def __init__(self, directory, name="gangway test CA"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.certificate = self.directory / "ca.pem"
        self.key = self.directory / "ca.key"
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-keyout", self.key, "-out", self.certificate, "-days", "30",
            "-subj", f"/CN={name}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )

    def issue(self, name, *alternatives, client=False, days=30):
        """A certificate for DNS names and addresses; the first is its name."""
        stem = self.directory / f"{name.replace('*', 'any')}-{len(list(self.directory.iterdir()))}"
        pair = Pair(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        names = ",".join(
            f"{'IP' if n.replace('.', '').isdigit() or ':' in n else 'DNS'}:{n}"
            for n in (name, *alternatives)
        )
        usage = "clientAuth" if client else "serverAuth"
        wanted = stem.with_suffix(".csr")
        extensions = stem.with_suffix(".ext")
        extensions.write_text(
            f"subjectAltName={names}\nextendedKeyUsage={usage}\n"
            "basicConstraints=CA:FALSE\n"
        )
        openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", pair.key, "-out", wanted, "-subj", f"/CN={name}",
        )
        openssl(
            "x509", "-req", "-in", wanted, "-CA", self.certificate, "-CAkey", self.key,
            "-CAcreateserial", "-out", pair.certificate, "-days", days,
            "-extfile", extensions,
        )
        return pair

    def client_context(self):
        """What a client that trusts this authority uses."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def server_context(self, pair):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        return context
