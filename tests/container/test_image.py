"""Every step of the Dockerfile, run by a builder that needs no daemon, on a root made of Debian's packages.

What stands in for `python:3.11-slim-bookworm` is Debian 12 with its own Python 3.11, as no registry of images is asked.
Needs root, debootstrap, buildah, Debian's and Python's package registries, and 15 GB of disk; twenty minutes on two
busy cores. Where torch's own index is out of reach SP_SEARCH_TORCH_INDEX names another, and SP_SEARCH_WHEELS a folder
with its wheel.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("debootstrap", "buildah")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
QUICKSTART = "sp-search run studies/quickstart.yaml --set task.bits=4 --set train.steps=300 --set milestones=[0.9]"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
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


def canonical(name):
    """Return a package's name as indices write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


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
    try:
        yield builder, build(builder, folder)
    finally:  # also where a build broke off: it leaves mounts
        builder("rm", "--all")
        builder("rmi", "--all", "--force")
        shutil.rmtree(folder)


def build(builder, folder):
    """Build the image from what lies in `folder`, and return a container of it."""
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
    return builder("from", "localhost/sp_search")


def test_the_image_is_nobodys_and_holds_the_lock(image):
    builder, container = image
    assert builder.inside(container, "id", "-u") == "1000"
    assert builder.inside(container, "sh", "-c", "test -w /opt/venv || echo read-only") == "read-only"
    listed = json.loads(builder.inside(container, "/opt/venv/bin/pip", "list", "--format", "json"))
    installed = {(canonical(one["name"]), one["version"]) for one in listed}
    for lock in ("constraints.txt", "constraints-cluster.txt"):
        lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.startswith("#")]
        wanted = {(canonical(name), version) for name, version in (line.split("==") for line in lines)}
        assert wanted - installed == set()
    assert builder.inside(container, "/opt/venv/bin/pip", "check") == "No broken requirements found."


def test_no_layer_holds_what_was_not_named(image):
    builder, container = image
    search = r"find / -xdev \( -name .env -o -name .git -o -name sp_search_runs \) -not -path '/proc/*'"
    found = builder.inside(container, "sh", "-c", search, user="0:0")
    assert found == ""
    storage = Path(builder.options[1])
    assert not list(storage.rglob(".env")) + list(storage.rglob("sp_search_runs")), (
        "in a layer, of the first stage even"
    )
    shown = json.loads(builder("inspect", "--type", "image", "localhost/sp_search"))["OCIv1"]
    assert "do-not-ship" not in json.dumps(shown)
    assert not [one for one in shown["config"]["Env"] if "TOKEN=" in one or "SECRET" in one or "PASSWORD" in one]
    assert shown["config"]["User"] == "1000:1000"
    assert "Entrypoint" not in shown["config"], "ray up and KubeRay bring their own commands"


def test_the_image_runs_the_quickstart_with_few_steps_on_its_own_ray_and_knows_jobs(image):
    builder, container = image
    assert "milestone 0.9: met" in builder.inside(container, "sh", "-c", f"{QUICKSTART} --output run")
    result = json.loads(builder.inside(container, "cat", "run/result.json"))
    assert result["budget"]["axis"] == {"rollouts": 2}
    assert "mlflow.db" in builder.inside(container, "ls")
    builder.inside(container, "python", "-c", "import ray.dashboard.modules.job.job_head")


def test_the_images_doctor_finds_nothing_wrong(image):
    builder, container = image
    findings = json.loads(builder.inside(container, "sp-search", "doctor", "--json"))
    assert [one for one in findings if one["verdict"] == "fail"] == []
