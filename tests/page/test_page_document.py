"""The API against the document that it serves: schemathesis makes requests of every kind, right and wrong, with a login and without."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from page_site import Box

EXAMPLES = os.environ.get("HALOW_PAGE_EXAMPLES", "40")
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method,ignored_auth"
STREAM = "/api/v1/events"


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    there = Box(tmp_path_factory.mktemp("box"), count=2)
    with there.site.gateway:
        there.start()
        admin = there.site.admin()
        assert admin.call("POST", "meters.csv", there.meters.csv.read_text(), kind="text/csv").status == 200
        there.token = admin.call("POST", "tokens", {"name": "schemathesis", "role": "admin"}).json["token"]
        yield there
        there.stop()


def test_every_answer_is_one_that_the_document_names(box, tmp_path):
    client = box.site.client()
    client.token = box.token
    document = client.call("GET", "openapi.json").json
    assert document["openapi"].startswith("3.1")
    del document["paths"][STREAM]                    # never ends; the browser's tests follow it
    del document["paths"]["/api/v1/tokens/{name}"]["delete"]      # might remove the token that is used here
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    command = shutil.which("st", path=str(Path(sys.executable).parent)) or "st"
    done = subprocess.run(
        [command, "run", str(file), "--url", box.url, "--header", f"Authorization: Bearer {box.token}", "--checks", CHECKS,
         "--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing", "--request-timeout", "30", "--continue-on-failure", "--max-time", "300"],
        check=False, capture_output=True, text=True, timeout=580, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    log = box.site.gateway.log.read_text()
    assert "the page failed" not in log
    assert "Traceback" not in log
