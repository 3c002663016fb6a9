# SPDX-License-Identifier: Apache-2.0
"""The modules that come along: HashiCorp's parser of HCL reads them where it is installed (npm: @cdktf/hcl2json), and what the
driver, template.yaml and tofu.json say about them is so."""
import hashlib
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from local_stack import ROOT

TEMPLATES = sorted(path.parent for path in (ROOT / "deploy/templates").glob("*/tofu.json"))
FROM_SERVICE = {"sandbox_id", "boot", "user_data"}
READ = """const {parse} = require('@cdktf/hcl2json'), fs = require('fs');
(async () => { const all = {};
for (const file of process.argv.slice(1)) all[file] = await parse(file, fs.readFileSync(file, 'utf8'));
console.log(JSON.stringify(all)); })().catch(e => { console.error(String(e)); process.exit(1); });"""


def text_of(folder):
    return "".join(file.read_text() for file in sorted((folder / "module").glob("*.tf")))


def block_names(text, kind):
    return re.findall(rf'^{kind} "(\w+)"', text, re.MULTILINE)


def test_both_are_there():
    assert [folder.name for folder in TEMPLATES] == ["tofu-aws-nitro", "tofu-azure-cvm"]


@pytest.fixture(params=TEMPLATES, ids=lambda folder: folder.name)
def folder(request):
    return request.param


def test_digest_pins_the_module(folder):
    sums = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted((folder / "module").iterdir()))
    assert json.loads((folder / "tofu.json").read_text())["module"] == "sha256:" + hashlib.sha256(sums.encode()).hexdigest()


def test_types_are_those_of_the_module(folder):
    section, text = json.loads((folder / "tofu.json").read_text()), text_of(folder)
    assert set(section["resources"]) == set(re.findall(r'^(?:resource|data) "(\w+)"', text, re.MULTILINE))
    assert "provisioner" not in block_names(text, "provisioner") and "local-exec" not in text and "http://" not in text


def test_variables_are_what_the_driver_gives(folder):
    text = text_of(folder)
    declared = set(block_names(text, "variable"))
    parameters = {one["name"] for one in yaml.safe_load((folder / "template.yaml").read_text())["parameters"]}
    assert FROM_SERVICE | parameters <= declared and not FROM_SERVICE & parameters
    assert re.search(r'variable "user_data" {[^}]*sensitive\s*= true', text)
    assert set(block_names(text, "output")) >= {"instance_id", "console"}
    assert "var.user_data" in text and '"strongroom-sandbox" ' in text


def test_files_are_formatted(folder):
    """As `tofu fmt` would: two blanks a level, no tabs, nothing at the end of a line."""
    for file in (folder / "module").glob("*.tf"):
        depth = 0
        for line in file.read_text().splitlines():
            word = line.strip()
            assert line == line.rstrip() and "\t" not in line, (file, line)
            more = sum(word.count(c) for c in "{[(") - sum(word.count(c) for c in "}])")
            if word:
                assert len(line) - len(word) == 2 * (depth - (word[0] in "}])")), (file, line)
            depth += (more > 0) - (more < 0)  # a line opens one level, however many brackets it has


def test_hcl_parser_reads_them(folder):
    env = {**os.environ, "NODE_PATH": os.environ.get("NODE_PATH", "/usr/share/nodejs:/usr/lib/node_modules:/usr/local/lib/node_modules")}
    if not shutil.which("node") or subprocess.run(["node", "-e", "require('@cdktf/hcl2json')"], env=env, timeout=60,
                                                  stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no parser of HCL here: npm install @cdktf/hcl2json, NODE_PATH=…/node_modules")
    files = sorted(map(str, (folder / "module").glob("*.tf")))
    done = subprocess.run(["node", "-e", READ, *files], env=env, timeout=60, stdout=subprocess.PIPE, text=True, check=True)
    blocks = json.loads(done.stdout)
    resources = [kind for one in blocks.values() for kind in one.get("resource", {})]
    assert set(resources) == set(json.loads((folder / "tofu.json").read_text())["resources"])
    variables = {name for one in blocks.values() for name in one.get("variable", {})}
    assert variables == set(block_names(text_of(folder), "variable"))
