"""The files of clusters/: Ray's own schema and preparation for `ray up`, a structural check of KubeRay's, a dry Slurm.

KubeRay's CRDs are in no wheel. Checked are the names of ray.io/v1 (kuberay, ray-operator/apis/ray/v1, read 2026-11) at
every level above the pods, and of the pods what has to be safe; not the rest of Kubernetes' pod schema.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import jsonschema
import pytest
import ray.autoscaler
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

from sp_search.study import Cluster, load_cluster

CLUSTERS = Path(__file__).parents[2] / "clusters"
RAY_UP = [CLUSTERS / f"{name}.yaml" for name in ("on_premise", "aws", "gcp")]
KUBERAY = [CLUSTERS / f"kuberay_{name}.yaml" for name in ("cluster", "job")]

CLUSTER_FIELDS = {
    *("authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions"),
    *("headGroupSpec", "headServiceAnnotations", "managedBy", "rayVersion", "suspend", "workerGroupSpecs"),
}
HEAD_FIELDS = {"enableIngress", "headService", "rayStartParams", "serviceType", "template"}
WORKER_FIELDS = {
    *("groupName", "idleTimeoutSeconds", "maxReplicas", "minReplicas", "numOfHosts", "rayStartParams", "replicas"),
    *("scaleStrategy", "suspend", "template"),
}
JOB_FIELDS = {
    *("activeDeadlineSeconds", "backoffLimit", "clusterSelector", "deletionStrategy", "entrypoint"),
    *("entrypointNumCpus", "entrypointNumGpus", "entrypointResources", "jobId", "managedBy", "metadata"),
    *("rayClusterSpec", "runtimeEnvYAML", "shutdownAfterJobFinishes", "submissionMode", "submitterConfig"),
    *("submitterPodTemplate", "suspend", "ttlSecondsAfterFinished"),
}


def documents(file):
    return [json.loads(json.dumps(one)) for one in YAML(typ="safe").load_all(file.read_text())]


def test_every_file_is_tested_here_and_named_in_the_readme():
    files = {file.name for file in CLUSTERS.iterdir()} - {"README.md"}
    assert files == {file.name for file in [*RAY_UP, *KUBERAY]} | {"local.yaml", "slurm.sh"}
    readme = (CLUSTERS / "README.md").read_text()
    assert not [name for name in files if name not in readme]


def test_the_cluster_file_shows_every_setting_with_its_default():
    (content,) = documents(CLUSTERS / "local.yaml")
    assert content == Cluster().model_dump()
    assert load_cluster(CLUSTERS / "local.yaml") == Cluster()


@pytest.mark.parametrize("file", RAY_UP, ids=lambda file: file.stem)
def test_a_ray_up_file_passes_rays_schema_and_its_own_preparation(file):
    (config,) = documents(file)
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    prepared = prepare_config(config)
    validate_config(prepared)
    sizes = [(kind["min_workers"], kind["max_workers"]) for kind in prepared["available_node_types"].values()]
    assert all(least == most for least, most in sizes if most), "a study divides its trials over what is there"
    assert sum(least for least, _ in sizes) == prepared["max_workers"] == 2


@pytest.mark.parametrize("file", RAY_UP, ids=lambda file: file.stem)
def test_a_ray_up_cluster_asks_for_a_token_and_keeps_its_dashboard_to_itself(file):
    (config,) = documents(file)
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    assert "--env=RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    assert [one for one in starts if "--head" in one and "--dashboard-host=127.0.0.1" in one]
    assert not [one for one in starts if "0.0.0.0" in one]  # noqa: S104 - that it is not there


def pods(spec):
    """Return the pod templates of a RayCluster's spec, checking the names on the way."""
    assert set(spec) <= CLUSTER_FIELDS
    assert set(spec["headGroupSpec"]) <= HEAD_FIELDS
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    assert all(set(group) <= WORKER_FIELDS for group in groups[1:])
    assert all(isinstance(value, str) for group in groups for value in group["rayStartParams"].values())
    assert spec["rayVersion"] == ray.__version__
    return [group["template"] for group in groups]


def of_kind(file, kind):
    (found,) = [one for one in documents(file) if one["kind"] == kind]
    assert found["apiVersion"] == ("ray.io/v1" if kind.startswith("Ray") else "v1")
    return found


def templates(file):
    if file.stem == "kuberay_cluster":
        return pods(of_kind(file, "RayCluster")["spec"])
    job = of_kind(file, "RayJob")["spec"]
    assert set(job) <= JOB_FIELDS
    return [*pods(job["rayClusterSpec"]), job["submitterPodTemplate"]]


@pytest.mark.parametrize("file", KUBERAY, ids=lambda file: file.stem)
def test_every_pod_is_nobody_has_limits_and_reads_its_token_from_the_secret(file):
    for template in templates(file):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 1000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}
            variables = {one["name"]: one for one in container["env"]}
            assert variables["RAY_AUTH_MODE"]["value"] == "token"
            assert variables["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "sp-search-token"


@pytest.mark.parametrize("file", KUBERAY, ids=lambda file: file.stem)
def test_every_ray_pod_has_probes_that_need_no_token_and_mounts_only_its_volumes(file):
    paths = {"ray-head": ("/api/gcs_healthz", 8265), "ray-worker": ("/api/local_raylet_healthz", 52365)}
    for template in templates(file)[:2]:
        (container,) = template["spec"]["containers"]
        for probe in ("readinessProbe", "livenessProbe"):
            asked = container[probe]["httpGet"]
            assert (asked["path"], asked["port"]) == paths[container["name"]]
        volumes = {one["name"] for one in template["spec"]["volumes"]}
        assert {one["name"] for one in container["volumeMounts"]} <= volumes


def test_the_job_waits_for_all_pods_of_its_cluster():
    file = CLUSTERS / "kuberay_job.yaml"
    spec = of_kind(file, "RayJob")["spec"]["rayClusterSpec"]
    text = of_kind(file, "ConfigMap")["data"]["cluster.yaml"]
    cluster = Cluster.model_validate(YAML(typ="safe").load(text))
    assert cluster.nodes == 1 + sum(group["replicas"] for group in spec["workerGroupSpecs"])


FAKES = {
    "hostname": "echo 192.0.2.1",
    "scontrol": "echo one; echo two; echo three",
    "srun": 'echo "srun $*" >> "$LOG"; exec sleep 60',
    "ray": 'test "$1" = status',
    "sp-search": 'echo "sp-search $* mode=$RAY_AUTH_MODE token=$(stat -c %a "$RAY_AUTH_TOKEN_PATH")" >> "$LOG"\n'
    "trap 'kill $!; exit 143' TERM\nsleep 60 &\n"
    'cp "$4" "$LOG.cluster"\nif [ "$1" = run ]; then kill $!; exit 3; fi\nwait',
}


@pytest.fixture
def slurm(tmp_path):
    """Begin the script as Slurm would, with every command that it calls replaced by one that writes down its words."""
    (tmp_path / "bin").mkdir()
    for name, script in FAKES.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    variables = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_JOB_NODELIST": "x",
        "SLURM_CPUS_PER_TASK": "8",
    }
    own = {"HOME": str(tmp_path), "LOG": str(tmp_path / "log"), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    def begin():
        script = [CLUSTERS / "slurm.sh", "study.yaml", str(tmp_path / "study")]
        with (tmp_path / "errors").open("w") as file:
            return subprocess.Popen(["bash", *script], env={**variables, **own}, stderr=file)

    return begin


def errors(tmp_path):
    return (tmp_path / "errors").read_text()


def said(tmp_path, program):
    lines = (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []
    return [line for line in lines if line.startswith(program)]


def test_slurm_starts_ray_everywhere_runs_the_study_and_leaves_nothing(slurm, tmp_path):
    process = slurm()
    assert (process.wait(timeout=50), errors(tmp_path)) == (3, ""), "the exit code is the study's"
    head, workers = sorted(said(tmp_path, "srun"), key=lambda line: "--head" not in line)
    assert "--nodelist=one ray start --head --block --node-ip-address=192.0.2.1 --port=24711" in head
    assert "--nodes=2 --ntasks=2 --exclude=one bash -c" in workers
    assert "ray start --block --address=192.0.2.1:24711" in workers
    (study,) = said(tmp_path, "sp-search")
    assert study.startswith(f"sp-search run study.yaml --cluster {tmp_path}/.sp_search_slurm/4711/cluster.yaml")
    assert study.endswith("mode=token token=600")
    assert load_cluster(tmp_path / "log.cluster") == Cluster(address="192.0.2.1:24711", nodes=3)
    assert list((tmp_path / ".sp_search_slurm").iterdir()) == [], "the token goes with the job"


def test_slurm_goes_on_with_a_begun_study_and_hands_it_the_signal(slurm, tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "ledger.jsonl").write_text("begun\n")
    process = slurm()
    while process.poll() is None and not (tmp_path / "log.cluster").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert (process.wait(timeout=50), errors(tmp_path)) == (143, "")
    assert said(tmp_path, "sp-search")[0].startswith(f"sp-search resume {tmp_path / 'study'} --cluster")
