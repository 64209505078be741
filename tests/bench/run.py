#!/usr/bin/env python3
"""Runs the peers' harness on Graticule and on its peers in one run, and prints the Markdown table of BENCHMARKS.md: beside the
fastest peer, beside xarray + dask, and beside the decode limit of the machine (limit.py).

    GRATICULE=target/release/graticule python tests/bench/run.py [--size small|medium] [--only W1,W3] [--harness DIR]

The harness is `bench` in the folder GRATICULE_SHARED, by default `../shared` beside the repository. It is copied to a
cache folder (GRATICULE_BENCH, default ~/.cache/graticule/bench) where its data, its Python environment and its results stay; --harness names a copy
that has data already. Every result is compared with the reference (numpy on decoded arrays) before its time counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
WORKLOADS = "W1,W2,W3,W4,W5,W6,W7,W8,W9,W9b,W10a,W10b,W11,W12,W13,W13w,W14,W15,W16"
#: xarray + dask (threads, flox, numbagg) on NetCDF, tensorstore on Zarr, rasterio and numpy by hand on GeoTIFF.
PEERS = {"xarray_nc": "xarray + dask", "tensorstore": "tensorstore", "rasterio": "rasterio"}
PACKAGES = ["imagecodecs", "tensorstore", "tifffile", "xarray", "dask[complete]", "netCDF4", "h5py", "h5netcdf", "zarr", "numbagg", "flox", "bottleneck", "scipy", "rasterio", "geopandas", "pyarrow", "psutil"]


def main() -> None:
    """Prepares the harness, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small", choices=["small", "medium", "large"])
    parser.add_argument("--only", default=WORKLOADS, help="workloads, separated by commas")
    parser.add_argument("--harness", type=Path, help="a copy of the harness that has data already")
    parser.add_argument("--skip-peers", action="store_true", help="measure Graticule only; its ratios come from the last run of the peers")
    arguments = parser.parse_args()
    program = Path(os.environ.get("GRATICULE", REPOSITORY / "target" / "release" / "graticule")).resolve()
    if not program.exists():
        sys.exit(f"no program at {program}: build it (cargo build --release --bin graticule) or set GRATICULE")
    shared = Path(os.environ.get("GRATICULE_SHARED") or REPOSITORY.parent / "shared")
    harness = arguments.harness or copied(shared / "bench")
    python = environment(harness)
    shutil.copy(Path(__file__).with_name("ours.py"), harness / "systems" / "ours.py")
    data(harness, python, arguments.size)
    stats = harness / "tmp" / "server-memory.jsonl"
    stats.parent.mkdir(exist_ok=True)
    stats.unlink(missing_ok=True)
    out = harness / "results" / f"graticule-{arguments.size}.jsonl"
    out.parent.mkdir(exist_ok=True)
    peers = [] if arguments.skip_peers else list(PEERS)
    environ = dict(os.environ, GRATICULE=str(program), OURS_STATS=str(stats))
    # The harness sets PYTHONPATH for its workers; a .pth file makes our client importable there.
    site = subprocess.check_output([python, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()
    Path(site, "graticule-client.pth").write_text(f"{REPOSITORY / 'client' / 'python'}\n")
    wids = arguments.only.split(",")
    since = time.strftime("%F %T")
    for wid in wids:  # system by system for each workload: what the machine does at that time hits all of them
        say(f"{wid}: {', '.join([*peers, 'ours'])}")
        command = [python, "run.py", "--size", arguments.size, "--systems", ",".join([*peers, "ours"]), "--only", wid, "--out", str(out)]
        subprocess.run(command, cwd=harness, env=environ, check=True, stdout=sys.stderr)
    say("the decode limit")
    command = [python, str(Path(__file__).with_name("limit.py")), str(harness / "data" / arguments.size)]
    limits = json.loads(subprocess.check_output(command, text=True, preexec_fn=first if os.geteuid() == 0 else None))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    memory = [json.loads(line) for line in stats.read_text().splitlines()] if stats.exists() else []
    print(table(arguments.size, wids, rows, memory, limits, since))
    if any(r["verdict"] != "ok" for r in rows if r["system"] == "ours" and r["when"] >= since):
        sys.exit("some answers of ours are wrong or missing")


def copied(bench: Path) -> Path:
    """The harness in the cache folder."""
    if not bench.is_dir():
        sys.exit(f"the peers' harness is not at {bench}; set GRATICULE_SHARED to the folder that holds `bench`")
    place = Path(os.environ.get("GRATICULE_BENCH") or Path.home() / ".cache" / "graticule" / "bench")
    shutil.copytree(bench, place, dirs_exist_ok=True)
    return place


def environment(harness: Path) -> str:
    """The Python of the harness with the peers in it."""
    python = harness / "v" / "bin" / "python"
    if not python.exists():
        say("installing the peers")
        subprocess.run([sys.executable, "-m", "venv", harness / "v"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--prefer-binary", *PACKAGES], check=True)
    return str(python)


def data(harness: Path, python: str, size: str) -> None:
    """Generates the data and the reference, once."""
    root = harness / "data" / size
    if not (root / "meta.json").exists():
        say(f"generating the data set '{size}'")
        subprocess.run([python, "gen.py", "--size", size], cwd=harness, check=True, stdout=sys.stderr)
    missing = [w for w in WORKLOADS.split(",") if not (root / "ref" / f"{w}.npy").exists()]
    if missing:
        say("computing the reference")
        command = [python, "run.py", "--size", size, "--systems", "numpy", "--save-ref", "--only", ",".join(missing), "--reps", "1"]
        subprocess.run(command, cwd=harness, check=True, stdout=sys.stderr)


TITLES = {
    "W1": "point time series", "W2": "box, one time step", "W3": "time-mean map", "W4": "weighted mean series",
    "W5": "monthly climatology, std of anomalies", "W6": "daily max", "W7": "max of NDVI, cloud-masked", "W8": "cloud-masked median",
    "W9": "zonal means, 200 polygons x time", "W9b": "zonal means of a scene", "W10a": "coarsened 4 x 4", "W10b": "reprojected, bilinear",
    "W11": "3 x 3 focal mean", "W12": "bulk fetch into numpy", "W13": "many files: index, open, mean", "W13w": "many files: again",
    "W14": "histogram", "W15": "mean by latitude", "W16": "count with two predicates",
}


def table(size: str, wids: list[str], rows: list[dict], memory: list[dict], limits: dict[str, float], since: str) -> str:
    """The table: medians of this run, ratios, peaks of the process trees and of the server alone."""
    last = {(r["system"], r["workload"]): r for r in rows if r["system"] != "ours" or r["when"] >= since}
    server = {m["workload"]: m["server_peak_mb"] for m in memory}
    lines = [f"Data set `{size}`, {os.cpu_count()} cores, warm, medians of one run, {since[:10]}.", "",
             "| | workload | Graticule s | fastest peer s | ratio | xarray + dask s | ratio | decode limit s | of it | MB: server, with client, xarray | check |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    all_ratios = []
    for wid in wids:
        ours = last.get(("ours", wid), {})
        found = {name: last[name, wid] for name in PEERS if last.get((name, wid), {}).get("median_s")}
        fastest = min(found, key=lambda name: found[name]["median_s"], default="")
        best, xarray, limit = found.get(fastest, {}), found.get("xarray_nc", {}), limits.get(wid)
        if ours.get("median_s") and xarray:
            all_ratios.append(xarray["median_s"] / ours["median_s"])
        noisy = " (busy machine)" if max(r.get("other_cpu", 0) for r in (ours, best)) > 0.1 else ""
        named = f" ({PEERS[fastest]})" if best else ""
        of_limit = f"{ours['median_s'] / limit:.2f}x" if limit and ours.get("median_s") else "—"
        lines.append(f"| {wid} | {TITLES.get(wid, '')} | {seconds(ours)} | {seconds(best)}{named} | {ratio(best, ours)} | {seconds(xarray)} | {ratio(xarray, ours)} "
                     f"| {f'{limit:.3g}' if limit else '—'} | {of_limit} | {server.get(wid, '—')}, {ours.get('peak_mb', '—')}, {xarray.get('peak_mb', '—')} "
                     f"| {ours.get('verdict', 'not run')}{noisy} |")
    if all_ratios:
        lines += ["", f"Geometric mean of the ratios to xarray + dask: {statistics.geometric_mean(all_ratios):.1f}x."]
    return "\n".join(lines)


def ratio(peer: dict, ours: dict) -> str:
    """How many times faster we are."""
    return f"{peer['median_s'] / ours['median_s']:.1f}x" if peer.get("median_s") and ours.get("median_s") else "—"


def first() -> None:
    """Before all others, as the harness runs its workers."""
    os.nice(-15)


def seconds(row: dict) -> str:
    """A time with three figures."""
    return f"{row['median_s']:.3g}" if row.get("median_s") else "—"


def say(text: str) -> None:
    """Progress, which is not part of the table."""
    print(f"== {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
