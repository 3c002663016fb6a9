# SPDX-License-Identifier: Apache-2.0
"""A sandbox without a machine: keys in this process, enrolled in place of the VM's agent with the secret that the provisioner laid
down for it. It says what an agent says over the same HTTP, and does no work in between."""
import base64
import hashlib
import json
import os
import time
import urllib.parse

import requests

import trust
from trust import b64url, digest, jcs

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def compact(key, header, claims):
    body = f"{b64url(jcs(header))}.{b64url(jcs(claims))}"
    return f"{body}.{b64url(key.sign(body.encode()))}"


def bare_jwk(key):
    return {name: key.jwk[name] for name in ("kty", "crv", "x", "y")}


class Machine:
    def __init__(self, stack, initdata, claim):
        self.url, self.initdata, self.claim = stack.url, initdata, claim
        self.enc, self.sig = trust.Key("enc"), trust.Key("sig")
        self.http = requests.Session()
        self.http.trust_env, self.http.verify = False, stack.ca
        self.bearer = None

    # --- enrolment ---

    def evidence(self):
        return trust.evidence(self.enc, self.sig, self.claim, self.initdata)

    def enrol(self, secret):
        answer = self.http.post(f"{self.url}/v1/enrolments/{self.initdata['sandbox']}",
                                headers={"Authorization": f"Enrolment {secret}"},
                                json={"boot": 1, "evidence": self.evidence()})
        assert answer.status_code in (200, 201), answer.text

    # --- the agent's channel ---

    def token(self):
        if not self.bearer:
            now, sandbox = int(time.time()), self.initdata["sandbox"]
            assertion = compact(self.sig, {"alg": "ES256", "typ": "strongroom-agent-assertion+jwt", "kid": self.sig.thumbprint}, {
                "iss": sandbox, "sub": sandbox, "aud": self.url + "/v1/token", "iat": now, "exp": now + 50,
                "jti": b64url(os.urandom(16))})
            answer = self.http.post(self.url + "/v1/token", data={"grant_type": JWT_BEARER, "audience": "orchestrator",
                                                                  "assertion": assertion})
            assert answer.status_code == 200, answer.text
            self.bearer = answer.json()["access_token"]
        return self.bearer

    def ask(self, method, path, status, **more):
        url, token = self.url + path, self.token()
        proof = compact(self.sig, {"alg": "ES256", "typ": "dpop+jwt", "jwk": bare_jwk(self.sig)}, {
            "htm": method, "htu": url.split("?")[0], "iat": int(time.time()), "jti": b64url(os.urandom(16)),
            "ath": b64url(hashlib.sha256(token.encode()).digest())})
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof, **more.pop("headers", {})}
        answer = self.http.request(method, url, headers=headers, timeout=90, **more)
        assert answer.status_code in status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def work(self):
        while True:
            answer = self.ask("GET", "/v1/agent/work?wait=30s", (200, 204))
            if answer.status_code == 200:
                return answer.json()

    def report(self, run, seq, step, state):
        self.ask("POST", f"/v1/agent/runs/{run['id']}/events", (204,),
                 json={"fence": run["fence"], "seq": seq, "step": step, "state": state})

    def upload(self, run, data):
        path = "/v1/agent/objects/" + self.ask("POST", "/v1/agent/objects", (201,), json={
            "role": "output", "run": run["id"], "fence": run["fence"]}).json()["id"]
        self.ask("PATCH", path, (202,), data=data, headers={"Content-Range": f"0-{len(data) - 1}"})
        self.ask("PUT", f"{path}?digest={urllib.parse.quote(digest(data))}", (201,))
        return {"object": path.rsplit("/", 1)[1], "digest": digest(data), "size": len(data)}

    def receipt(self, work, output):
        policy, order = json.loads(work["policy"]), trust.from_b64url(work["order"]["jws"]["payload"])
        now = int(time.time())
        statement = jcs({
            "_type": "https://in-toto.io/Statement/v1", "predicateType": "urn:strongroom:receipt:v1",
            "subject": [{"name": "output", "digest": {"sha256": output["digest"][7:]}}],
            "predicate": {
                "policy": digest(work["policy"].encode()), "run_nonce": json.loads(order)["run_nonce"],
                "run": work["run"]["id"], "fence": work["run"]["fence"], "space": policy["space"],
                "sandbox": self.initdata["sandbox"], "boot_id": "none", "class": "none", "evidence": digest(jcs(self.evidence())),
                "initdata": digest(jcs(self.initdata)), "claim": digest(jcs(self.claim)), "enc": self.enc.thumbprint,
                "sig": self.sig.thumbprint, "output_size": output["size"],
                "image": {name: policy["image"][name] for name in ("manifest", "config")}, "inputs": [], "outputs": [],
                "commitments": {name: slot["commitment"] for name, slot in policy["slots"].items()}, "egress": [],
                "exit_code": 0, "signal": 0, "limits_hit": [], "recipients": policy["parties"]["recipients"],
                "measurements": {}, "log_head": None, "started": now, "ended": now}})
        kind = b"application/vnd.in-toto+json"
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(statement), statement)
        return {"payloadType": kind.decode(), "payload": base64.b64encode(statement).decode(),
                "signatures": [{"keyid": self.sig.thumbprint, "sig": base64.b64encode(self.sig.sign(signed)).decode()}]}
