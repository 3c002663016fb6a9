# SPDX-License-Identifier: Apache-2.0
"""Starts and asks controller_server.py, with a CA of its own."""
import datetime
import ipaddress
import pathlib
import secrets
import socket
import subprocess
import sys

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROGRAM = pathlib.Path(__file__).with_name("controller_server.py")


def write_key(path, key):
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def write_certificate(path, name, key, issuer=None, issuer_key=None):
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer or name)]
    now = datetime.datetime.utcnow()
    made = x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number(), now - datetime.timedelta(days=1),
                                   now + datetime.timedelta(days=1))
    made = made.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    path.write_bytes(made.sign(issuer_key or key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


class Controller:
    def __init__(self, folder, guest, relay):
        self.ca, self.token = folder / "ca.pem", folder / "token"
        folder.chmod(0o755)
        self.certificate, self.key = folder / "client.pem", folder / "client.key"
        ca_key, key, client_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        write_certificate(self.ca, "controller-ca", ca_key)
        write_certificate(folder / "server.pem", "controller", key, "controller-ca", ca_key)
        write_key(folder / "server.key", key)
        write_certificate(self.certificate, "provisioner", client_key, "controller-ca", ca_key)
        write_key(self.key, client_key)
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.verify, self.http.cert = str(self.ca), (str(self.certificate), str(self.key))
        self.secret = secrets.token_urlsafe(32)
        self.token.write_text(self.secret + "\n")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"https://127.0.0.1:{listener.getsockname()[1]}"
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM, "--socket", str(listener.fileno()), "--folder", folder, "--guest", guest, "--relay", relay],
                pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL, stderr=open(folder / "log", "w"))

    def settings(self):
        """Rows of the provisioner's configuration."""
        return {"controller_url": self.url, "controller_ca": self.ca, "controller_token": self.token,
                "controller_cert": self.certificate, "controller_key": self.key, "controller_timeout": "2s"}

    def _test(self, method, name, **body):
        answer = self.http.request(method, f"{self.url}/_test{name}", json=body or None, timeout=60)
        assert answer.status_code == 200
        return answer.json()

    def did(self):
        return self._test("GET", "")

    def mischief(self, operation, *kinds, times=1000):
        """The next answers to it are bad ones; of several kinds, each is for another new machine."""
        self._test("POST", "/mischief", operation=operation, kinds=kinds, times=times)

    def power(self, boots):
        """Whether machines that are made from now on boot."""
        self._test("POST", "/power", boots=boots)

    def kill(self, id):
        self._test("POST", "/kill", id=id)

    def ask(self, method, path, **more):
        return self.http.request(method, self.url + path, timeout=60, headers={
            "Authorization": f"Bearer {self.secret}", "Idempotency-Key": secrets.token_hex(32)}, **more)

    def end(self):
        self.process.terminate()
        self.process.wait(60)
