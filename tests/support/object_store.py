# SPDX-License-Identifier: Apache-2.0
"""A small object store as pre-signed URLs have one: who has the query string may do that one thing with that one object, until it
expires. Over TLS when it is given a certificate. `asked` has what was asked of it, and how it answered."""
import hashlib
import hmac
import http.server
import secrets
import ssl
import threading
import time
import urllib.parse

MAX_OBJECT = 64 << 20


class ObjectStore:
    def __init__(self, certificate=None, key=None, address="127.0.0.1", name=None):
        """`certificate` and `key` are files; `name` is the host in its URLs."""
        self.secret, self.objects, self.asked, self.now = secrets.token_bytes(32), {}, [], time.time
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                store.serve(self)

            do_PUT = do_HEAD = do_POST = do_DELETE = do_GET

        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.base = f"{'https' if certificate else 'http'}://{name or address}:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    # --- what its owner does ---

    def put(self, path, data):
        self.objects[path] = data

    def url(self, path):
        return self.base + path

    def query(self, path, method="GET", seconds=600):
        """Who shows this may do that with this object."""
        expires = int(self.now()) + seconds
        return f"expires={expires}&method={method}&signature={self._sign(path, method, expires)}"

    def _sign(self, path, method, expires):
        return hmac.new(self.secret, f"{method}\n{path}\n{expires}".encode(), hashlib.sha256).hexdigest()

    # --- what comes over the network ---

    def refusal(self, method, path, query):
        """Why not, or None."""
        asked = dict(urllib.parse.parse_qsl(query))
        expires = asked.get("expires", "")
        if set(asked) != {"expires", "method", "signature"} or not expires.isdigit():
            return 403, "no signature"
        if not hmac.compare_digest(asked["signature"], self._sign(path, asked["method"], int(expires))):
            return 403, "wrong signature"
        if asked["method"] != method:
            return 403, "signed for another method"
        if self.now() >= int(expires):
            return 403, "expired"
        return None if method == "PUT" or path in self.objects else (404, "no such object")

    def serve(self, request):
        path, _, query = request.path.partition("?")
        length = int(request.headers.get("Content-Length") or 0)
        refusal = (413, "too large") if length > MAX_OBJECT else self.refusal(request.command, path, query)
        body = request.rfile.read(length) if length <= MAX_OBJECT else b""
        if not refusal and request.command == "PUT":
            self.objects[path] = body
        status, data = refusal and (refusal[0], refusal[1].encode()) or (200, b"" if request.command == "PUT" else self.objects[path])
        self.asked.append((request.command, path, status))
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)
