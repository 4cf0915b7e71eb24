"""Every step of the Dockerfile, run by a builder that needs no daemon, on a root made of Debian's packages.

What stands in for `python:3.11-slim-bookworm` is Debian 12 with its own Python 3.11, as no registry of images is asked.
Needs root, debootstrap, buildah, Debian's and Python's package registries, and 8 GB of disk; some ten minutes. Where
torch's own index is out of reach SP_SEARCH_TORCH_INDEX names another, and SP_SEARCH_WHEELS a folder with its wheel.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("debootstrap", "buildah")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
STUDY = """
name: tiny
task: {kind: prefix_sums, bits: 4}
model: {kind: recall_conv, width: 4}
scheduler: {kind: annealing, axis: rollouts, budget: max}
population: {replicas: 2}
train: {steps: 60}
milestones: [0.5]
tracking: {uri: null}
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="debootstrap needs root"),
]


class Builder:
    """buildah with a storage of its own, which goes with the test."""

    def __init__(self, folder):
        self.options = ["--root", str(folder / "storage"), "--runroot", str(folder / "run")]

    def __call__(self, *words):
        done = subprocess.run(["buildah", *self.options, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.strip()

    def inside(self, container, *words, user="1000:1000"):
        return self("run", "--isolation", "chroot", "--user", user, container, "--", *words)


def debian(folder):
    """Make a Debian 12 root with Python, and what this machine needs to reach the registries."""
    packages = "ca-certificates,python3,python3-venv"
    mirror = ["--variant=minbase", f"--include={packages}", "bookworm", str(folder), "http://deb.debian.org/debian"]
    subprocess.run(["debootstrap", *mirror], check=True, stdout=subprocess.DEVNULL)
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():  # of a network with a certificate of its own
        shutil.copy(bundle, folder / "etc/ssl/certs")
    (folder / "etc/pip.conf").write_text(f"[global]\ncert = {bundle}\nfind-links = /wheels\n")
    (folder / "wheels").mkdir()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image, built from a copy of what git tracks."""
    folder = tmp_path_factory.mktemp("container")
    (folder / "context").mkdir()
    tracked = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder / "context")], input=tracked, check=True)
    (folder / "context" / ".env").write_text("SECRET=do-not-ship\n")
    (folder / "context" / "sp_search_runs").mkdir()
    debian(folder / "debian")
    (folder / "Base").write_text("FROM scratch\nCOPY debian /\n")
    builder = Builder(folder)
    builder("bud", "--isolation", "chroot", "-t", "localhost/base", "-f", str(folder / "Base"), str(folder))
    index = os.environ.get("SP_SEARCH_TORCH_INDEX")
    wheels = os.environ.get("SP_SEARCH_WHEELS")
    extra = ["--build-arg", f"TORCH_INDEX={index}"] if index else []
    extra += ["--volume", f"{wheels}:/wheels:ro"] if wheels else []
    builder(
        "bud",
        "--isolation",
        "chroot",
        "--build-arg",
        "BASE=localhost/base",
        *extra,
        "-t",
        "localhost/sp_search",
        "--ignorefile",
        str(ROOT / ".dockerignore"),
        "-f",
        str(ROOT / "Dockerfile"),
        str(folder / "context"),
    )
    yield builder, builder("from", "localhost/sp_search")
    builder("rmi", "--all", "--force")


def test_the_image_is_nobodys_and_holds_the_lock(image):
    builder, container = image
    assert builder.inside(container, "id", "-u") == "1000"
    assert builder.inside(container, "sh", "-c", "test -w /opt/venv || echo read-only") == "read-only"
    frozen = set(builder.inside(container, "/opt/venv/bin/pip", "freeze").splitlines())
    for lock in ("constraints.txt", "constraints-cluster.txt"):
        wanted = {line for line in (ROOT / lock).read_text().splitlines() if not line.startswith("#")}
        assert wanted - frozen == set()
    assert builder.inside(container, "/opt/venv/bin/pip", "check") == "No broken requirements found."


def test_no_layer_holds_what_was_not_named(image):
    builder, container = image
    search = r"find / -xdev \( -name .env -o -name .git -o -name sp_search_runs \) -not -path '/proc/*'"
    found = builder.inside(container, "sh", "-c", search, user="0:0")
    assert found == ""
    shown = json.loads(builder("inspect", "--type", "image", "localhost/sp_search"))["OCIv1"]
    assert "do-not-ship" not in json.dumps(shown)
    assert not [one for one in shown["config"]["Env"] if "TOKEN=" in one or "SECRET" in one or "PASSWORD" in one]
    assert shown["config"]["User"] == "1000:1000"
    assert "Entrypoint" not in shown["config"], "ray up and KubeRay bring their own commands"


def test_the_image_runs_a_study_on_its_own_ray_and_knows_jobs(image):
    builder, container = image
    program = f"cat > study.yaml <<'END'\n{STUDY}\nEND\nsp-search run study.yaml --output run && ls run/result.json"
    assert "run/result.json" in builder.inside(container, "sh", "-c", program)
    builder.inside(container, "python", "-c", "import ray.dashboard.modules.job.job_head")
    assert '"fail"' not in builder.inside(container, "sp-search", "doctor", "--json")
