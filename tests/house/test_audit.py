"""The audit of what is installed: it never calls safe what was not checked."""

import subprocess

import pytest

from tests import audit

pytestmark = pytest.mark.process

SAFE = {"name": "pillow", "version": "12.3.0", "vulns": []}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.14.1)"}
OWN = {"name": "normzoo", "skip_reason": "Dependency not found on PyPI"}
BAD = {"name": "gradio", "version": "4.0", "vulns": [{"id": "CVE-2023-51449", "fix_versions": ["4.11.0"]}]}


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([SAFE, OWN], 0, "1 packages were looked up, 0 are known to be vulnerable."),
        ([SAFE, BAD, UNKNOWN], 1, "gradio 4.0: CVE-2023-51449, fixed in 4.11.0"),
        ([SAFE, UNKNOWN], 2, "Not looked up: torch."),
        ([UNKNOWN], 2, audit.UNREACHABLE),
    ],
)
def test_the_exit_code_tells_safe_from_unchecked(packages, code, words, capsys):
    assert audit.report(packages) == code
    assert words in capsys.readouterr().out


def test_without_a_network_it_says_that_nothing_was_checked(monkeypatch, capsys):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nrequests.exceptions.ConnectionError: no network")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    assert audit.main() == 2
    assert capsys.readouterr().out == f"{audit.UNREACHABLE}\n  (requests.exceptions.ConnectionError: no network)\n"
