"""What the Dockerfile promises: an ordinary user, code that belongs to root, all that the page needs and nothing else."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
COPIES = [line.split()[1:] for line in LINES if line.startswith("COPY")]
NEEDED = {"app.py", "assets", "normzoo", "checkpoints"}


def test_it_runs_as_user_1000_with_nothing_run_after_root_gave_way():
    assert "useradd --create-home --uid 1000 user" in " ".join(LINES)
    user = LINES.index("USER user")
    assert [line for line in LINES[user:] if line.startswith(("RUN", "COPY", "USER"))] == ["USER user"]


def test_the_code_belongs_to_root():
    assert [copy for copy in COPIES if any(word.startswith("--") for word in copy)] == []


def test_only_what_the_page_needs_is_copied_and_sent():
    assert {source for source, _ in COPIES} == NEEDED | {"requirements.txt"}
    sent = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == NEEDED | {"requirements.txt"}


def test_it_writes_to_the_temporary_folder_alone():
    settings = dict(re.findall(r"(\w+)=(/\S+)", " ".join(line for line in LINES if line.startswith("ENV"))))
    assert {name: path for name, path in settings.items() if name != "HOME" and not path.startswith("/tmp/")} == {}


def test_signals_reach_the_page():
    assert 'ENTRYPOINT ["tini", "--"]' in LINES
    assert 'CMD ["python", "app.py"]' in LINES
