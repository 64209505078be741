"""What `deploy/` holds: the chart renders to documents that fit together, compose and Dockerfile say what the program takes, and
the job scripts start a server and stop it in order, with the tools of the queue replaced by small ones."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import graticule
from chart import render

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
SCRIPTS = [DEPLOY / "slurm" / "graticule.sbatch", DEPLOY / "pbs" / "graticule.pbs"]


def flags(program: Path, command: str) -> set[str]:
    """The flags that a command takes."""
    run = subprocess.run([program, command, "--help"], capture_output=True, text=True, timeout=60)
    return set(re.findall(r"--[a-z-]+", run.stdout)) if run.returncode == 0 else set()


def used(arguments: list[str]) -> set[str]:
    return {a for a in arguments if str(a).startswith("--")}


def check_flags(program: Path, arguments: list[str]) -> None:
    known = flags(program, arguments[0])
    unknown = used(arguments) - known
    assert not unknown, f"graticule {arguments[0]} does not take {unknown}"


VARIANTS = [
    {},
    {"nodes__replicas": 0},
    {"tls__secretName": "certificate"},
    {"autoscaling__enabled": True, "podAnnotations": {"a": "b"}, "nodeSelector": {"disk": "ssd"}},
    {
        "data__paths": ["/data/era5", "s3://bucket/x"],
        "data__roots": ["/data"],
        "data__volumes": [{"name": "archive", "persistentVolumeClaim": {"claimName": "archive"}}],
        "data__volumeMounts": [{"name": "archive", "mountPath": "/data", "readOnly": True}],
        "data__env": [{"name": "AWS_REGION", "value": "eu-central-1"}],
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "server__catalog__storageClassName": "fast",
    },
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_the_chart_fits_together(changes):
    documents = render("r", **changes)
    kinds = [d["kind"] for d in documents]
    assert kinds.count("StatefulSet") == 1 and kinds.count("Service") == 2
    assert kinds.count("Deployment") == (changes.get("nodes__replicas", 2) > 0)
    assert kinds.count("HorizontalPodAutoscaler") == changes.get("autoscaling__enabled", False)
    names = {(d["kind"], d["metadata"]["name"]) for d in documents}
    assert len(names) == len(documents), "two documents of one name"
    workloads = [d for d in documents if d["kind"] in ("StatefulSet", "Deployment")]
    for document in documents:
        assert document["apiVersion"] in {"v1", "apps/v1", "autoscaling/v2", "networking.k8s.io/v1"}
        assert document["metadata"]["labels"]["app.kubernetes.io/instance"] == "r"
        assert all(isinstance(v, str) for v in document["metadata"]["labels"].values())
    for workload in workloads:
        spec, template = workload["spec"], workload["spec"]["template"]
        selected = spec["selector"]["matchLabels"]
        assert selected.items() <= template["metadata"]["labels"].items()
        assert all(isinstance(v, str) for v in template["metadata"].get("annotations", {}).values())
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        volumes = [v["name"] for v in pod["volumes"]] + [c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", [])]
        assert len(set(volumes)) == len(volumes)
        for container in pod["containers"]:
            assert all(isinstance(a, str) for a in container["args"]), container["args"]
            assert {m["name"] for m in container["volumeMounts"]} <= set(volumes)
            ports = {p["name"]: p["containerPort"] for p in container["ports"]}
            probes = [container[k] for k in ("livenessProbe", "readinessProbe") if k in container]
            assert probes and all((p.get("httpGet") or p["tcpSocket"])["port"] in ports for p in probes)
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    for service in (d for d in documents if d["kind"] == "Service"):
        chosen = [w for w in workloads if service["spec"]["selector"].items() <= w["spec"]["template"]["metadata"]["labels"].items()]
        assert len(chosen) == 1, "a service belongs to one workload"
        ports = {p["name"] for c in chosen[0]["spec"]["template"]["spec"]["containers"] for p in c["ports"]}
        assert all(p["targetPort"] in ports for p in service["spec"]["ports"])
    for workload in workloads:
        if workload["kind"] == "StatefulSet":
            assert ("Service", workload["spec"]["serviceName"]) in names
    for scaler in (d for d in documents if d["kind"] == "HorizontalPodAutoscaler"):
        target, metric = scaler["spec"]["scaleTargetRef"], scaler["spec"]["metrics"][0]["object"]
        assert (target["kind"], target["name"]) in names
        assert (metric["describedObject"]["kind"], metric["describedObject"]["name"]) in names
        # Who scales must not be overruled at the next upgrade.
        assert all("replicas" not in w["spec"] for w in workloads if w["metadata"]["name"] == target["name"])


def test_the_chart_says_what_the_program_takes(program):
    for changes in VARIANTS:
        for document in render("r", **changes):
            if document["kind"] in ("StatefulSet", "Deployment"):
                check_flags(program, document["spec"]["template"]["spec"]["containers"][0]["args"])


def test_the_metric_that_scales_exists(program):
    import urllib.request

    (scaler,) = [d for d in render("r", autoscaling__enabled=True) if d["kind"] == "HorizontalPodAutoscaler"]
    metric = scaler["spec"]["metrics"][0]["object"]["metric"]["name"]
    with graticule.serve(arguments=["--http", "127.0.0.1:0"]) as client:
        address = re.search(r"http://\S+", client.log())
        assert address is not None
        with urllib.request.urlopen(address[0] + "/metrics", timeout=10) as page:
            assert f"\n{metric} 0\n" in page.read().decode()


def test_compose_says_what_the_program_takes(program):
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for service in compose["services"].values():
        check_flags(program, service["command"])
        assert {m.split(":")[0] for m in service["volumes"] if not m.startswith("$")} <= set(compose["volumes"])
        assert set(service["secrets"]) <= set(compose["secrets"])


def test_the_image_runs_as_nobody_and_looks_after_itself():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("FROM", "USER", "HEALTHCHECK"))] == ["FROM", "FROM", "USER", "HEALTHCHECK"]
    user = next(line for line in lines if line.startswith("USER"))
    assert not user.endswith("root")
    rust = re.search(r'rust-version = "(\S+)"', (DEPLOY.parent / "Cargo.toml").read_text())
    assert rust is not None and f"rust:{rust[1]}-" in lines[1]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.suffix)
def test_scripts_are_clean(script):
    subprocess.run(["bash", "-n", script], check=True)
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("shellcheck is not here")
    found = subprocess.run([shellcheck, "-s", "bash", script], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def tool(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.write_text("#!/usr/bin/env bash\n" + text)
    file.chmod(0o755)


@pytest.mark.parametrize("queue", ["slurm", "pbs"])
def test_a_job_starts_prints_its_address_and_drains(queue, program, files, tmp_path):
    """The real script and the real program; `srun` and `pbsdsh` run what they are told on this machine."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "graticule").symlink_to(program)
    # Two tasks on one machine: each on a port of its own.
    srun = 'while [ "${1#--}" != "$1" ]; do shift; done\nset -- "${@//:8816/:0}"\n"$@" & "$@" & trap "kill -TERM $(jobs -p | tr "\\n" " ")" TERM\nwait; wait\n'
    tool(tools, "srun", srun)
    tool(tools, "pbsdsh", 'shift\nsed -i s/:8816/:0/ "$2"\n"$@" & "$@" & wait; wait\n')
    tool(tools, "qstat", "echo '    Resource_List.walltime = 01:00:00'\n")
    tool(tools, "hostname", "echo 127.0.0.1\n")
    hosts = tmp_path / "hosts"
    hosts.write_text("a\na\nb\n")
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "GRATICULE_RUN": str(tmp_path / "run"), "GRATICULE": "graticule"}
    data = str(files / "era5_202301.nc")
    if queue == "slurm":
        script, arguments = SCRIPTS[0], [data]
        environment |= {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}
    else:
        script, arguments = SCRIPTS[1], []
        environment |= {"PBS_JOBID": "7", "PBS_NODEFILE": str(hosts), "DATA": data}
    log = tmp_path / "log"
    with log.open("w") as out:
        job = subprocess.Popen(["bash", script, *arguments], env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=tmp_path)
    try:
        begun = time.monotonic()
        while "graticule is ready" not in log.read_text() or "connect(" not in log.read_text():
            assert job.poll() is None and time.monotonic() < begun + 120, log.read_text()
            time.sleep(0.1)
        printed = log.read_text()
        exported = dict(re.findall(r"export (GRATICULE_\w+)=(\S+)", printed))
        token = Path(exported["GRATICULE_TOKEN_FILE"])
        assert token.stat().st_mode & 0o077 == 0 and token.read_text().strip() not in printed
        with graticule.connect(exported["GRATICULE_URL"], token=token.read_text()) as client:
            assert client.sql("SELECT count(*) AS n FROM era5_202301")["n"][0].as_py() > 0
            while [row["state"] for row in client.sql("SHOW NODES").to_pylist() if row["address"] != "in process"] != ["ready", "ready"]:
                assert time.monotonic() < begun + 120, log.read_text()
                time.sleep(0.2)
        shown = subprocess.run(["graticule", "sql", "SHOW CUBES"], env=environment | exported, capture_output=True, text=True, timeout=60)
        assert shown.returncode == 0 and "era5_202301" in shown.stdout, shown.stderr
        job.send_signal(signal.SIGTERM)
        assert job.wait(timeout=90) == 0, log.read_text()
        assert "graticule has stopped" in log.read_text()
        assert not token.exists(), "secrets of a job end with it"
        with pytest.raises(graticule.ConnectionError):
            graticule.connect(exported["GRATICULE_URL"], token="x" * 20, timeout=2)
    finally:
        if job.poll() is None:
            job.terminate()
            job.wait(timeout=60)
