# SPDX-License-Identifier: Apache-2.0
"""certreg's token routes: members by API key, sandboxes by assertion, the docker token flow."""
import base64
import hashlib
import json
import secrets

import pytest

from certreg_stack import BASE_URL, b64url, claims_of, is_problem, key_id, unix_now
from certreg_stack import certreg, new_key, owner  # noqa: F401 (fixtures)

SANDBOX = "sbx_0190f1c2aaaa7bbb8cccdddddddddddd"
MANIFEST = "sha256:" + "a" * 64
OTHER_TENANT = "tnt_" + "0" * 32  # that shares its image


# --- member tokens ---

def test_token_has_the_members_claims(certreg):
    answer = certreg.token_answer(certreg.key("acme-algo"), audience="policy", scope="read")
    assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
    assert answer.json["token_type"] == "Bearer" and answer.json["expires_in"] == 600
    claims = claims_of(answer.json["access_token"])
    assert claims["iss"] == BASE_URL and claims["aud"] == "policy" and claims["scope"] == "read"
    assert claims["roles"] == "algorithm-owner" and claims["tenant_name"] == "acme"
    assert claims["sub"].startswith("mbr_") and claims["tenant"].startswith("tnt_") and claims["space"].startswith("spc_")
    assert claims["key"] == key_id(certreg.key("acme-algo")) and claims["exp"] - claims["iat"] == 600


def test_token_verifies_by_the_published_keys(certreg):
    jwt = pytest.importorskip("jwt")
    token = certreg.token_answer(certreg.key("acme-owner")).json["access_token"]
    keys = certreg.ask("GET", "/.well-known/jwks.json").json["keys"]
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "at+jwt" and header["alg"] == "ES256" and header["kid"] == keys[0]["kid"]
    assert "d" not in keys[0]
    public = jwt.PyJWK.from_dict(keys[0]).key
    assert jwt.decode(token, public, ["ES256"], audience="certreg")["iss"] == BASE_URL


def test_basic_credentials_work_too(certreg):
    key = certreg.key("acme-owner")
    basic = base64.b64encode(f"{key_id(key)}:{key}".encode()).decode()
    answer = certreg.token_request({"Authorization": f"Basic {basic}"}, grant_type="client_credentials", audience="certreg")
    assert answer.status == 200


def test_wrong_and_unknown_keys_look_the_same(certreg):
    real = certreg.key("acme-owner")
    unknown = "sr_0190f1c2aaaa7bbb8cccdddddddddddd_" + real[36:]
    wrong = certreg.token_answer(real[:-1] + ("A" if real[-1] != "A" else "B"))
    nobody = certreg.token_answer(unknown)
    for answer in (wrong, nobody):
        assert is_problem(answer, 401, "auth.invalid_client")
    varies = ("request_id",)
    assert {k: v for k, v in wrong.json.items() if k not in varies} == {k: v for k, v in nobody.json.items() if k not in varies}


@pytest.mark.parametrize("form, status, code", [
    ({"grant_type": "password", "audience": "policy"}, 400, "token.bad_grant"),
    ({"audience": "policy"}, 400, "token.bad_grant"),
    ({"grant_type": "client_credentials", "audience": "policy"}, 401, "auth.missing"),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "audience": "policy", "assertion": "a.b.c"}, 400,
     "token.bad_audience"),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "audience": "orchestrator", "assertion": "a.b.c"}, 401,
     "auth.invalid_token"),
])
def test_bad_token_requests(certreg, form, status, code):
    assert is_problem(certreg.token_request(**form), status, code)


def test_token_for_no_or_another_audience(certreg):
    key = certreg.key("acme-owner")
    assert is_problem(certreg.token_answer(key, audience="policy registry-gw"), 400, "token.bad_audience")
    assert is_problem(certreg.client("acme-owner", audience="policy").get("/v1/tenants/self"), 401, "auth.wrong_audience")


@pytest.mark.parametrize("body, status, code", [
    (b"grant_type=%zz", 400, "form.syntax"),
    (b"grant_type=a%00b", 400, "form.syntax"),
    (b"grant_type=\xff\xfe", 400, "form.syntax"),
    (b"=x", 400, "form.syntax"),
    (b"scope=a&scope=b", 400, "form.repeated"),
    (b"&".join(b"m%d=1" % i for i in range(17)), 400, "form.too_many"),
    (b"scope=" + b"a" * 17000, 413, "request.body_too_large"),
])
def test_malformed_forms(certreg, body, status, code):
    answer = certreg.ask("POST", "/v1/token", body, Content_Type="application/x-www-form-urlencoded")
    assert is_problem(answer, status, code)


def test_form_of_another_type(certreg):
    assert is_problem(certreg.ask("POST", "/v1/token", b"{}", Content_Type="application/json"), 415, "request.not_form")


def test_scope_narrows_what_a_token_may(certreg):
    reader = certreg.client("acme-owner", scope="read")
    assert reader.get("/v1/members").status == 200
    assert is_problem(reader.post("/v1/challenges", {"spki": "sha256:" + "0" * 64}), 403, "auth.scope_missing")
    assert is_problem(certreg.token_answer(certreg.key("acme-owner"), scope="everything"), 400, "scope.unknown")


# --- agents ---

@pytest.fixture
def machine(certreg, owner, new_key):
    key = new_key("machine")
    certreg.provisioner.table[f"/internal/v1/sandboxes/{SANDBOX}"] = {
        "id": SANDBOX, "tenant": owner.claims["tenant"], "space": owner.claims["space"], "state": "ready", "boot": 1,
        "sig_jwk": key.jwk(), "enc_jwk": None, "sig": None, "enc": None}
    yield key
    certreg.provisioner.table.clear()
    certreg.orchestrator.table.clear()


def assertion(key, typ="strongroom-agent-assertion+jwt", **claims):
    now = unix_now()
    return key.jwt(typ, {"iss": SANDBOX, "sub": SANDBOX, "aud": f"{BASE_URL}/v1/token", "iat": now, "exp": now + 60,
                         "jti": secrets.token_hex(16), **claims})


def agent_token(certreg, text, audience="orchestrator"):
    return certreg.token_request(grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", audience=audience, assertion=text)


def test_agent_token(certreg, machine):
    answer = agent_token(certreg, assertion(machine))
    assert answer.status == 200 and answer.json["token_type"] == "DPoP", answer.body
    claims = claims_of(answer.json["access_token"])
    members = json.dumps({k: machine.jwk()[k] for k in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
    assert claims["sub"] == SANDBOX and claims["aud"] == "orchestrator" and claims["cnf"] == {"jkt": thumbprint}
    assert claims["boot"] == 1
    assert certreg.provisioner.seen[-1].startswith("Bearer ")
    assert claims_of(certreg.provisioner.seen[-1])["aud"] == "provisioner"


@pytest.mark.parametrize("name, good", [
    ("10.0.2.2:8443", True), ("edge.test", True), ("10.0.2.2", False), ("edge.test 10.0.2.2:8443", False), ("", False),
    ("evil.test", False)])
def test_assertion_for_a_name_of_the_edge(certreg, machine, name, good):
    """The configured ones; the Host that a request names counts for nothing."""
    answer = certreg.token_request(
        {"Host": name} if name == "evil.test" else {}, grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer",
        audience="orchestrator", assertion=assertion(machine, aud=f"https://{name}/v1/token"))
    assert answer.status == 200 if good else is_problem(answer, 401, "auth.wrong_audience")


def test_assertion_is_used_once(certreg, machine):
    text = assertion(machine)
    assert agent_token(certreg, text).status == 200
    assert is_problem(agent_token(certreg, text), 401, "auth.replayed")


@pytest.mark.parametrize("change, code", [
    ({"aud": "https://evil.test/v1/token"}, "auth.wrong_audience"),
    ({"iss": "sbx_0190f1c2aaaa7bbb8ccceeeeeeeeeeee"}, "auth.invalid_token"),
    ({"sub": "mbr_0190f1c2aaaa7bbb8ccceeeeeeeeeeee"}, "auth.invalid_client"),
    ({"exp": 1}, "auth.expired"), ({"iat": 1}, "auth.lives_too_long"), ({"jti": ""}, "auth.invalid_token"),
    ({"iat": 4000000000, "exp": 4000000060}, "auth.clock_skew"), ({"nbf": 4000000000}, "auth.not_yet_valid"),
    ({"more": 1}, "auth.invalid_token"), ({"jti": "a" * 9300}, "auth.too_large"),
])
def test_assertion_with_other_claims(certreg, machine, change, code):
    assert is_problem(agent_token(certreg, assertion(machine, **change)), 401, code)


def test_assertion_by_another_key_or_of_another_type(certreg, machine, new_key):
    assert is_problem(agent_token(certreg, assertion(new_key("thief"))), 401, "auth.invalid_client")
    assert is_problem(agent_token(certreg, assertion(machine, typ="dpop+jwt")), 401, "auth.wrong_type")
    head, rest = assertion(machine).split(".", 1)
    none = b64url(json.dumps({"alg": "none", "typ": "strongroom-agent-assertion+jwt"}).encode())
    assert is_problem(agent_token(certreg, f"{none}.{rest}"), 401, "auth.wrong_algorithm")


def test_assertion_from_before_all_time(certreg, machine):
    assert is_problem(agent_token(certreg, assertion(machine, iat=-2 ** 63)), 401, "auth.invalid_token")


def test_sandbox_of_a_suspended_tenant(certreg, machine):
    operator, globex = certreg.client("system-operator"), certreg.client("globex-owner").claims["tenant"]
    certreg.provisioner.table[f"/internal/v1/sandboxes/{SANDBOX}"]["tenant"] = globex
    assert agent_token(certreg, assertion(machine)).status == 200
    assert operator.ask("POST", f"/v1/tenants/{globex}:suspend", If_Match="*").status == 200
    try:
        assert is_problem(agent_token(certreg, assertion(machine)), 401, "auth.invalid_client")
    finally:
        assert operator.ask("POST", f"/v1/tenants/{globex}:resume", If_Match="*").status == 200


def test_sandbox_that_is_not_ready_or_not_there(certreg, machine):
    certreg.provisioner.table[f"/internal/v1/sandboxes/{SANDBOX}"]["state"] = "stopping"
    assert is_problem(agent_token(certreg, assertion(machine)), 401, "auth.invalid_client")
    certreg.provisioner.table.clear()
    assert is_problem(agent_token(certreg, assertion(machine)), 401, "auth.invalid_client")


# --- registry tokens ---

def registry_token(certreg, who, *scopes, user="anything", password=None):
    password = password or certreg.key(who)
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    query = "service=registry-gw&account=x&" + "&".join(f"scope={scope}" for scope in scopes)
    return certreg.ask("GET", f"/v1/registry-token?{query}", Authorization=f"Basic {basic}")


def access_of(answer):
    assert answer.status == 200, answer.body
    return {row["name"]: row["actions"] for row in claims_of(answer.json["token"])["access"]}


def test_registry_token(certreg):
    answer = registry_token(certreg, "acme-algo", "repository:acme/app:pull,push")
    assert answer.json["token"] == answer.json["access_token"] and answer.json["expires_in"] == 300
    claims = claims_of(answer.json["token"])
    assert claims["aud"] == "registry-gw" and claims["tenant_name"] == "acme" and "image" not in claims
    assert claims["access"] == [{"type": "repository", "name": "acme/app", "actions": ["pull", "push"]}]


@pytest.mark.parametrize("who, scopes, access", [
    ("acme-owner", ["repository:acme/a:pull,push,delete"], {"acme/a": ["pull", "push", "delete"]}),
    ("acme-audit", ["repository:acme/a:pull,push,delete"], {"acme/a": ["pull"]}),
    ("acme-data", ["repository:acme/a:pull,push"], {"acme/a": ["pull"]}),
    ("system-operator", ["repository:globex/a:pull"], {}),
    ("acme-owner", ["repository:globex/a:pull", "repository:acme/a:pull"], {"acme/a": ["pull"]}),
    ("acme-owner", ["repository:acme/a:pull%20repository:acme/b:push"], {"acme/a": ["pull"], "acme/b": ["push"]}),
    ("acme-owner", ["repository:acmeevil/a:pull", "repository:acme/../globex/a:pull", "repository:acme:pull"], {}),
    ("acme-owner", ["registry:catalog:*"], {}),
    ("acme-owner", [], {}),
])
def test_registry_token_is_an_intersection(certreg, who, scopes, access):
    assert access_of(registry_token(certreg, who, *scopes)) == access


def test_registry_token_with_the_key_id_as_user(certreg):
    key = certreg.key("acme-owner")
    assert registry_token(certreg, "acme-owner", "repository:acme/a:pull", user=key_id(key)).status == 200


def test_registry_token_refusals(certreg):
    anonymous = certreg.ask("GET", "/v1/registry-token?service=registry-gw&scope=repository:acme/a:pull")
    wrong = registry_token(certreg, "acme-owner", password="sr_0190f1c2aaaa7bbb8cccdddddddddddd_" + "A" * 43)
    for answer, code in ((anonymous, "auth.missing"), (wrong, "auth.invalid_client")):
        assert is_problem(answer, 401, code)
        assert answer.headers["WWW-Authenticate"].startswith('Basic realm="strongroom"')
    assert is_problem(registry_token(certreg, "acme-owner", "nonsense"), 400, "registry.bad_scope")
    other = certreg.ask("GET", "/v1/registry-token?service=elsewhere")
    assert is_problem(other, 400, "registry.bad_service")


def test_registry_token_by_a_form(certreg):
    """Docker's OAuth2 flow: what GET answers by Basic, POST answers by user name and password."""
    key = certreg.key("acme-algo")
    answer = certreg.registry_form(username=key_id(key), password=key, client_id="containerd",
                                   scope="repository:acme/a:pull repository:acme/b:push")
    assert access_of(answer) == {"acme/a": ["pull"], "acme/b": ["push"]}
    assert access_of(certreg.registry_form(username="anybody", password=key)) == {}
    assert is_problem(certreg.registry_form(username="anybody"), 401, "auth.missing")
    assert is_problem(certreg.registry_form(username="a", password=key + "x"), 401, "auth.invalid_client")
    assert is_problem(certreg.registry_form(username="a", password=key, service="elsewhere"), 400, "registry.bad_service")
    assert is_problem(certreg.registry_form(username="a", password=key, grant_type="refresh_token"), 400, "token.bad_grant")


def test_registry_token_takes_no_assertion_from_a_url(certreg, machine):
    """URLs are logged on the way; the refusal comes before the assertion is looked at, so it is still good afterwards."""
    text = assertion(machine)
    wanted = f"/v1/registry-token?service=registry-gw&assertion={text}"
    assert is_problem(certreg.ask("GET", wanted), 400, "registry.assertion_in_url")
    assert is_problem(certreg.registry_form(target=wanted, assertion=text), 400, "registry.assertion_in_url")
    assert certreg.registry_form(assertion=text).status == 200
    assert is_problem(certreg.registry_form(assertion=text), 401, "auth.replayed")


def test_agents_registry_token_is_for_its_image(certreg, machine):
    def ask_for(scope):
        return certreg.registry_form(assertion=assertion(machine), scope=scope)

    assert access_of(ask_for("repository:acme/app:pull")) == {}
    certreg.orchestrator.table[f"/internal/v1/sandboxes/{SANDBOX}/image"] = {
        "tenant": OTHER_TENANT, "repository": "acme/app", "manifest": MANIFEST}
    answer = ask_for("repository:acme/app:pull,push")
    assert access_of(answer) == {"acme/app": ["pull"]}
    assert claims_of(answer.json["token"])["image"] == {"tenant": OTHER_TENANT, "digest": MANIFEST}
    assert access_of(ask_for("repository:acme/other:pull")) == {}
