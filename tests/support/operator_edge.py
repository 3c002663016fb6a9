# SPDX-License-Identifier: Apache-2.0
"""The operator of the middleware, as the trust protocol sees him: an edge that an agent enrols at, and that cuts lines, forgets,
repeats and alters what it likes. It opens nothing, since it has no key; the data owner's side is trust.World."""
import base64
import gzip
import hashlib
import hmac
import http.server
import io
import json
import os
import re
import select
import socket
import ssl
import struct
import tarfile
import threading
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trust import b64url, digest, from_b64url, jcs, wrap

SEGMENT = 1 << 20


class PublicKey:
    """A machine's key as others see it; `private` is there for its public_key() only."""

    def __init__(self, jwk):
        self.jwk, self.private = jwk, self
        x, y = (int.from_bytes(from_b64url(jwk[member]), "big") for member in "xy")
        self._key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()

    def public_key(self):
        return self._key

    @property
    def thumbprint(self):
        return b64url(hashlib.sha256(jcs({name: self.jwk[name] for name in ("crv", "kty", "x", "y")})).digest())


# --- the encrypted formats, from their descriptions ---

def _segments(key, aad, salt, prefix):
    derived = HKDF(hashes.SHA256(), 32, salt, aad).derive(key)
    return lambda number, last: (AESGCM(derived), prefix + struct.pack(">IB", number, last))


def seal_stream(key, aad, plain):
    salt, prefix = os.urandom(32), os.urandom(7)
    segment, out, first = _segments(key, aad, salt, prefix), [bytes([40]) + salt + prefix], SEGMENT - 16 - 40
    parts = [plain[:first]] + [plain[at:at + SEGMENT - 16] for at in range(first, len(plain), SEGMENT - 16)]
    for number, part in enumerate(parts):
        aead, nonce = segment(number, number == len(parts) - 1)
        out.append(aead.encrypt(nonce, part, b""))
    return b"".join(out)


def open_stream(key, aad, sealed):
    segment, body = _segments(key, aad, sealed[1:33], sealed[33:40]), sealed[40:]
    parts = [body[:SEGMENT - 40]] + [body[at:at + SEGMENT] for at in range(SEGMENT - 40, len(body), SEGMENT)]
    out = []
    for number, part in enumerate(parts):
        aead, nonce = segment(number, number == len(parts) - 1)
        out.append(aead.decrypt(nonce, part, b""))
    return b"".join(out)


class Image:
    """One encrypted layer with the files of `tree` (path -> bytes, or the target of a link); the policy's words on it, and the registry's."""

    def __init__(self, image_key, tree):
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w") as archive:
            for path, data in tree.items():
                entry = tarfile.TarInfo(path)
                entry.mode = 0o755
                if isinstance(data, str):
                    entry.type, entry.linkname = tarfile.SYMTYPE, data
                    archive.addfile(entry)
                    continue
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        inner = gzip.compress(tar.getvalue(), 1, mtime=0)
        key, nonce = os.urandom(32), os.urandom(16)
        self.layer = Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor().update(inner)
        packet = wrap(image_key, {}, jcs({"symkey": base64.b64encode(key).decode(), "digest": digest(inner),
                                          "cipheroptions": {"nonce": base64.b64encode(nonce).decode()}}))
        public = {"cipher": "AES_256_CTR_HMAC_SHA256", "cipheroptions": {},
                  "hmac": base64.b64encode(hmac.digest(key, self.layer, "sha256")).decode()}
        kind = "application/vnd.oci.image."
        self.manifest = jcs({
            "schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
            "config": {"mediaType": kind + "config.v1+json", "digest": digest(b"{}"), "size": 2},
            "layers": [{"mediaType": kind + "layer.v1.tar+gzip+encrypted", "digest": digest(self.layer),
                        "size": len(self.layer), "annotations": {
                            "org.opencontainers.image.enc.keys.jwe": base64.b64encode(jcs(packet)).decode(),
                            "org.opencontainers.image.enc.pubopts": base64.b64encode(jcs(public)).decode()}}]})
        self.words = {"manifest": digest(self.manifest), "config": digest(b"{}"),
                      "layers": [{"inner": digest(inner), "diff_id": digest(tar.getvalue())}]}


# --- the edge ---

class Operator:
    """`faults`: {(method, path expression): [fault, …]}, one taken per matching request. A fault is "down" (503), "deaf" (the
    request is done, its answer lost), "cut" (half of the body, then the end) or an error answer (status, code)."""

    def __init__(self, folder, certificate, key):
        self.secret, self.claim, self.image = b64url(os.urandom(32)), None, None
        self.evidence, self.events, self.results, self.objects = [], [], [], {}
        self.faults, self.proofs, self.complaints, self.lock = {}, set(), [], threading.Condition()
        self.inputs, self.work, self.requests, self.fence = {}, None, [], 0
        self.question, self.answers, self.handed = None, [], []
        self.reach, self.tunnels = {}, []  # host:port -> address of what is there; what was asked for
        self.log_head = {"size": 7, "root": "sha256:" + hashlib.sha256(b"root").hexdigest()}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def _handler(operator):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    operator.serve(self, self.command, self.path, body)
                except AssertionError as complaint:
                    operator.complaints.append(f"{self.command} {self.path}: {complaint}")
                    self.send_error(400)

            do_GET = do_POST = do_PATCH = do_PUT = do_HEAD = handle_any
        return Handler

    def fault_of(self, method, path):
        with self.lock:
            self.requests.append(f"{method} {path}")
            for (wanted, expression), faults in self.faults.items():
                if wanted == method and faults and re.search(expression, path):
                    return faults.pop(0)
        return None

    def serve(self, handler, method, path, body):
        fault = self.fault_of(method, path)
        if fault == "down":
            return answer(handler, 503, {"code": "edge.unavailable"})
        if isinstance(fault, tuple):
            return answer(handler, fault[0], {"code": fault[1]})
        status, content, headers = self.route(handler, method, path, body)
        if fault == "deaf":
            handler.close_connection = True
            return handler.connection.close()
        return answer(handler, status, content, headers, cut=fault == "cut")

    def route(self, handler, method, path, body):
        for wanted, expression, call in self.ROUTES:
            match = re.fullmatch(expression, path)
            if wanted == method and match:
                if path.startswith("/v1/agent/") and not self.check_proof(handler, method, path):
                    return 401, {"code": "auth.proof_invalid"}, {}
                found = call(self, handler, body, *match.groups())
                return found if len(found) == 3 else (*found, {})
        raise AssertionError("no such route")

    # --- who asks ---

    def check_secret(self, handler):
        assert handler.headers["Authorization"] == f"Enrolment {self.secret}"

    def check_token(self, token, typ):
        header, payload, signature = token.split(".")
        sig = PublicKey(self.evidence[-1]["sig"])
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
        raw = from_b64url(signature)
        sig.public_key().verify(encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")),
                                f"{header}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
        assert json.loads(from_b64url(header))["typ"] == typ
        return json.loads(from_b64url(payload))

    def check_proof(self, handler, method, path):
        claims = self.check_token(handler.headers["DPoP"], "dpop+jwt")
        token = handler.headers["Authorization"].removeprefix("DPoP ")
        assert claims["htm"] == method and claims["htu"] == f"https://127.0.0.1:{self.port}{path.split('?')[0]}"
        assert claims["ath"] == b64url(hashlib.sha256(token.encode()).digest())
        fresh = claims["jti"] not in self.proofs  # libcurl repeats a request whose connection closed before an answer
        self.proofs.add(claims["jti"])
        return fresh

    # --- routes ---

    def post_introduction(self, handler, body):
        self.check_secret(handler)
        assert json.loads(body) == {}
        return 200, {"claim": self.claim, "boot": 1, "ek_chain": None, "credential": None}

    def post_evidence(self, handler, body):
        self.check_secret(handler)
        with self.lock:
            self.evidence.append(json.loads(body)["evidence"])
            self.lock.notify_all()
        return 201, {"boot": 1}

    def post_token(self, _, body):
        assertion = re.search(rb"assertion=([^&]+)", body).group(1).decode()
        claims = self.check_token(assertion, "strongroom-agent-assertion+jwt")
        assert claims["aud"] == f"https://127.0.0.1:{self.port}/v1/token" and claims["exp"] - claims["iat"] <= 60
        return 200, {"access_token": b64url(os.urandom(24)), "token_type": "DPoP", "expires_in": 600}

    def registry_token(self, _, body):
        form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
        self.check_token(form["assertion"], "strongroom-agent-assertion+jwt")
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer" and form["service"] == "registry-gw"
        return 200, {"token": "pull-" + re.fullmatch(r"repository:([\w/]+):pull", form["scope"]).group(1)}

    def get_work(self, _, __):
        with self.lock:
            self.lock.wait_for(lambda: self.work, 5)
            work, self.work = self.work, None
            if work:
                self.handed.append(time.monotonic())
                self.lock.notify_all()
        return (200, work) if work else (204, None)

    def get_attestation(self, _, __):
        with self.lock:
            self.lock.wait_for(lambda: self.question, 5)
            return (200, self.question) if self.question else (204, None)

    def put_attestation(self, _, body, name):
        with self.lock:
            assert name == self.question["id"]
            self.question = None
            self.answers.append(json.loads(body))
            self.lock.notify_all()
        return 204, None

    def get_run(self, _, __, run):
        return 200, {"id": run, "fence": self.fence, "state": "running"}

    def get_checkpoint(self, _, __):
        root = base64.b64encode(bytes.fromhex(self.log_head["root"][7:])).decode()
        signature = base64.b64encode(bytes(68)).decode()  # the agent does not know the log's key
        return 200, f"operator/audit\n{self.log_head['size']}\n{root}\n\n\u2014 operator/audit {signature}\n".encode()

    def get_manifest(self, _, __, repository, wanted):
        return 200, self.image.manifest

    def get_blob(self, handler, _, repository, wanted):
        return ranged(handler, self.image.layer)

    def get_egress(self, handler, _, host, port, run, fence):
        """Raw bytes from here on; nothing is answered afterwards."""
        target = f"{host}:{port}"
        with self.lock:
            self.tunnels.append(target)
        assert fence == str(self.fence) and handler.headers["Upgrade"] == "strongroom-egress"
        if target not in self.reach:
            return 403, {"code": "egress.address_refused", "detail": "no public address"}
        with socket.create_connection(self.reach[target], 10) as far:
            handler.send_response(101)
            for name, value in (("Connection", "Upgrade"), ("Upgrade", "strongroom-egress")):
                handler.send_header(name, value)
            handler.end_headers()
            pump(handler.connection, far)
        handler.close_connection = True
        return None, None

    def post_event(self, _, body, run):
        event = json.loads(body)
        with self.lock:
            if event not in self.events:
                self.events.append(event)
        return 204, None

    def post_result(self, _, body, run):
        with self.lock:
            self.results.append(json.loads(body))
            self.lock.notify_all()
        return 200, {"id": run}

    def post_object(self, handler, _):
        key = handler.headers["Idempotency-Key"]
        known = [id for id, object in self.objects.items() if object["key"] == key]
        name = known[0] if known else "obj_" + os.urandom(16).hex()
        self.objects.setdefault(name, {"key": key, "data": b"", "digest": None})
        return 201, {"id": name, "offset": len(self.objects[name]["data"])}

    def patch_object(self, handler, body, name):
        first, last = map(int, handler.headers["Content-Range"].split("-"))
        stored = self.objects[name]
        assert last - first + 1 == len(body)
        if first != len(stored["data"]):
            return 416, {"code": "object.offset"}
        stored["data"] += body
        return 202, None

    def head_object(self, _, __, name):
        stored = self.objects[name]
        extra = {"Upload-Digest": stored["digest"]} if stored["digest"] else {}
        return 200, None, {"Upload-Offset": str(len(stored["data"])), **extra}

    def put_object(self, _, __, name, wanted):
        stored = self.objects[name]
        if stored["digest"]:
            return 409, {"code": "object.closed"}
        assert digest(stored["data"]) == wanted
        stored["digest"] = wanted
        return 201, {"id": name}

    def get_object(self, handler, _, name):
        return ranged(handler, self.inputs[name])

    ROUTES = [
        ("POST", r"/v1/enrolments/sbx_\w+/claim\?wait=30s", post_introduction),
        ("POST", r"/v1/enrolments/sbx_\w+", post_evidence),
        ("POST", r"/v1/token", post_token),
        ("POST", r"/v1/registry-token", registry_token),
        ("GET", r"/v1/agent/work\?wait=30s", get_work),
        ("GET", r"/v1/agent/attestations\?wait=30s", get_attestation),
        ("PUT", r"/v1/agent/attestations/(att_\w+)", put_attestation),
        ("GET", r"/v1/agent/runs/(run_\w+)", get_run),
        ("GET", r"/v1/audit/checkpoint", get_checkpoint),
        ("GET", r"/v1/agent/egress\?target=([\w.-]+)%3A(\d+)&run=(run_\w+)&fence=(\d+)", get_egress),
        ("GET", r"/v2/([\w/]+)/manifests/(sha256:\w+)", get_manifest),
        ("GET", r"/v2/([\w/]+)/blobs/(sha256:\w+)", get_blob),
        ("POST", r"/v1/agent/runs/(run_\w+)/events", post_event),
        ("POST", r"/v1/agent/runs/(run_\w+)/result", post_result),
        ("POST", r"/v1/agent/objects", post_object),
        ("PATCH", r"/v1/agent/objects/(obj_\w+)", patch_object),
        ("HEAD", r"/v1/agent/objects/(obj_\w+)", head_object),
        ("PUT", r"/v1/agent/objects/(obj_\w+)\?digest=(sha256:\w+)", put_object),
        ("GET", r"/v1/agent/objects/(obj_\w+)", get_object),
    ]

    # --- what tests wait for ---

    def wait(self, condition, what, limit_s=180):
        with self.lock:
            assert self.lock.wait_for(condition, limit_s), f"not within {limit_s} s: {what}"

    def give(self, work):
        with self.lock:
            self.work, self.fence = work, work.get("run", {}).get("fence")
            self.lock.notify_all()


def pump(near, far):
    """Until either side ends."""
    while True:
        ready = [near] if near.pending() else select.select([near, far], [], [], 60)[0]
        for one, other in ((near, far), (far, near)):
            if one in ready:
                data = one.recv(65536)
                if not data:
                    return
                other.sendall(data)
        if not ready:
            return


def ranged(handler, data):
    match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
    if not match:
        return 200, data
    start = int(match.group(1))
    return 206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}


def answer(handler, status, content, headers=None, cut=False):
    if status is None:  # there was one
        return None
    body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    if status != 204:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body[:len(body) // 2] if cut else body)
    if cut:
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.close()
    return time.monotonic()
