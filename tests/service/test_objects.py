# SPDX-License-Identifier: Apache-2.0
"""The orchestrator's objects at the edge: uploads that survive, digests, ranges, tenants."""
import hashlib
import os
import socket
import ssl
import urllib.parse

from local_stack import problem, wait_for


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def new_object(client):
    return "/v1/objects/" + client.made("/v1/objects", {"role": "input"})["id"]


def append(client, path, data, start=None):
    headers = {"Content-Range": f"{start}-{start + len(data) - 1}"} if start is not None else {}
    return client.ask("PATCH", path, data=data, headers=headers)


def offset(client, path):
    return int(client.ask("HEAD", path).headers["Upload-Offset"])


def close(client, path, data):
    return client.ask("PUT", f"{path}?digest={digest(data)}")


def uploaded(client, data):
    path = new_object(client)
    assert append(client, path, data, 0).status_code == 202
    assert close(client, path, data).status_code == 201
    return path


def test_bytes_come_back_as_they_went(owner):
    data = os.urandom(3 << 20)
    path = new_object(owner)
    assert append(owner, path, data[:1000], 0).status_code == 202
    assert append(owner, path, data[1000:], 1000).status_code == 202
    problem(owner.get(path), 409, "object.open")
    assert close(owner, path, data).json()["size"] == len(data)
    answer = owner.get(path)
    assert answer.content == data and answer.headers["Content-Type"] == "application/octet-stream"
    part = owner.get(path, headers={"Range": "bytes=1000-1999"})
    assert part.status_code == 206 and part.content == data[1000:2000]
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(data)}"
    assert owner.get(path, headers={"Range": "bytes=-10"}).content == data[-10:]
    problem(owner.get(path, headers={"Range": f"bytes={len(data)}-"}), 416, "object.range")
    problem(append(owner, path, b"more"), 409, "object.closed")


def test_upload_goes_on_where_the_cut_was(stack, owner):
    data, path = os.urandom(2 << 20), new_object(owner)
    address = urllib.parse.urlparse(stack.url)
    context = ssl.create_default_context(cafile=stack.ca)
    with socket.create_connection((address.hostname, address.port)) as raw:
        with context.wrap_socket(raw, server_hostname=address.hostname) as tls:
            tls.sendall((f"PATCH {path} HTTP/1.1\r\nHost: {address.netloc}\r\n"
                         f"Authorization: Bearer {owner.token('orchestrator')}\r\n"
                         f"Content-Range: 0-{len(data) - 1}\r\nContent-Length: {len(data)}\r\n\r\n").encode())
            tls.sendall(data[:1 << 20])
            wait_for(lambda: offset(owner, path) > 0, "something has arrived, and it can be cut")
    have = -1
    for _ in range(200):  # the cut travels through the edge
        answer = append(owner, path, data[have:] if have >= 0 else b"x", have if have >= 0 else 1 << 40)
        if answer.status_code == 202:
            break
        have = offset(owner, path)
    assert 0 < have <= 1 << 20
    assert close(owner, path, data).status_code == 201
    assert owner.get(path).content == data


def test_announced_bytes_count_before_they_come(stack, owner):
    """Two uploads side by side, each within the quota of 20g, together past it; the first one is cut, and still counts."""
    size, first, second = 11 << 30, new_object(owner), new_object(owner)
    address = urllib.parse.urlparse(stack.url)
    context = ssl.create_default_context(cafile=stack.ca)
    with socket.create_connection((address.hostname, address.port)) as raw:
        with context.wrap_socket(raw, server_hostname=address.hostname) as tls:
            tls.sendall((f"PATCH {first} HTTP/1.1\r\nHost: {address.netloc}\r\n"
                         f"Authorization: Bearer {owner.token('orchestrator')}\r\n"
                         f"Content-Range: 0-{size - 1}\r\nContent-Length: {size}\r\n\r\n").encode() + b"some")
            wait_for(lambda: offset(owner, first) == 4, "the first bytes")
            announce = {"Content-Range": f"0-{size - 1}"}
            problem(owner.ask("PATCH", second, data=b"x", headers=announce), 403, "object.quota")
    wait_for(lambda: append(owner, first, b"x", 1 << 40).status_code == 416, "end of the cut upload")
    problem(owner.ask("PATCH", second, data=b"x", headers=announce), 403, "object.quota")
    problem(owner.ask("PATCH", second, data=b"x", headers={"Content-Range": f"0-{(1 << 63) - 1}"}), 400, "object.bad_range")
    assert append(owner, first, b" more", 4).status_code == 202  # and what is really there counts again
    problem(owner.ask("PATCH", second, data=b"x", headers=announce), 400, "object.bad_range")
    for path in (first, second):
        assert owner.delete(path).status_code == 204


def test_wrong_digest_and_wrong_offset(owner):
    path = new_object(owner)
    assert append(owner, path, b"hello", 0).status_code == 202
    problem(append(owner, path, b"hello", 3), 416, "object.offset")
    problem(append(owner, path, b"hello", 9), 416, "object.offset")
    problem(close(owner, path, b"other"), 422, "digest.mismatch")
    problem(owner.ask("PUT", path + "?digest=sha256:12"), 400, "digest.invalid")
    problem(owner.ask("PATCH", path, data=b"hello", headers={"Content-Range": "5-6"}), 400, "object.bad_range")
    assert offset(owner, path) in (5, 7, 10)


def test_object_of_another_tenant_is_not_there(owner, stranger):
    path = uploaded(owner, b"secret ciphertext")
    for answer in (stranger.get(path), stranger.delete(path), append(stranger, path, b"x"),
                   close(stranger, path, b"x")):
        problem(answer, 404, "object.not_found")
    assert stranger.ask("HEAD", path).status_code == 404


def test_deleted_object_is_gone(owner, stack):
    path = uploaded(owner, b"short-lived")
    name = path.rsplit("/", 1)[1]
    assert list(stack.folder.glob(f"objects/*/{name}"))
    assert owner.delete(path).status_code == 204
    problem(owner.get(path), 404, "object.not_found")
    assert not list(stack.folder.glob(f"objects/*/{name}"))


def test_members_make_inputs_only(owner):
    problem(owner.post("/v1/objects", {"role": "output"}), 400, "object.bad_role")
    problem(owner.post("/v1/objects", {"role": "input", "size": 1}), 400, "json.invalid_fields")
