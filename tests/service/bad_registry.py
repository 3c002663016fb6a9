# SPDX-License-Identifier: Apache-2.0
"""A process in the registry's place that does not behave: `bad_registry.py SOCKET HOW`. Prints a line once it listens."""
import socket
import sys
import threading

SECRET = "password-of-the-storage"
DIGEST = "sha256:" + "e" * 64


def page(status, body=b"", *lines):
    text = [f"HTTP/1.1 {status} Because {SECRET}", f"X-Internal: {SECRET}", *lines]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        text.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*text, "", ""]).encode() + body


WAYS = {
    "500": page(500, f"panic: {SECRET}".encode()),
    "503": page(503, SECRET.encode(), "Retry-After: 1000000"),
    "redirect": page(307, b"", f"Location: http://127.0.0.1:1/{SECRET}"),
    "unauthorized": page(401, SECRET.encode(), f'WWW-Authenticate: Basic realm="{SECRET}"'),
    "garbage": b"\x16\x03\x01" + SECRET.encode() * 50,
    "no-http": b"220 ready\r\n",
    "cut-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "endless-head": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20_000,
    "cut-body": page(200, b"x" * 10, "Content-Length: 1000000", f"Docker-Content-Digest: {DIGEST}"),
    "bad-chunks": page(200, b"zz\r\nno chunk", "Transfer-Encoding: chunked"),
    "two-lengths": page(200, b"x", "Content-Length: 1", "Content-Length: 2"),
    "wrong-digest": page(200, b"{}", f"Docker-Content-Digest: {DIGEST}", "Content-Type: application/x"),
    "foreign-location": page(202, b"", f"Location: http://elsewhere.test/v2/globex/x/blobs/uploads/1?_state={SECRET}",
                             "Docker-Upload-UUID: 00000000-0000-0000-0000-000000000000"),
    "no-location": page(202, b"", "Docker-Upload-UUID: 00000000-0000-0000-0000-000000000000"),
    "odd-uuid": page(202, b"", "Location: /v2/x/blobs/uploads/1?_state=x", "Docker-Upload-UUID: ../../../etc"),
    "hangs-up": b"",
}


def serve(connection, answer):
    with connection:
        try:
            data = b""
            while b"\r\n\r\n" not in data:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # its body
                pass
        except OSError:
            pass


def main(path, how):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(100)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        if how == "silent":
            held.append(connection)
        else:
            threading.Thread(target=serve, args=(connection, WAYS[how]), daemon=True).start()


held = []
if __name__ == "__main__":
    main(*sys.argv[1:])
