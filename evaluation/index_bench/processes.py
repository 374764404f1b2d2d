"""Starts one child process for each step and reads its answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import evaluation
from evaluation.index_bench.jobs import Job, write_json

_ONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
_POOLS = ("RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS", "LANCE_CPU_THREADS")


class StepFailed(Exception):
    """A child process ended badly; the message ends with the last line that it said."""


def run_job(job: Job) -> Any:
    """What the child answered, as JSON gives it; raises StepFailed."""
    with tempfile.TemporaryDirectory(prefix="patchsearch-bench-") as name:
        told, answer = Path(name, "job.json"), Path(name, "result.json")
        write_json(told, job)
        done = subprocess.run(
            [sys.executable, "-m", "evaluation.index_bench.child", str(told), str(answer)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(job),
            cwd=name,
        )
        if done.returncode != 0 or not answer.is_file():
            said = done.stdout.strip().splitlines() or ["nothing was said"]
            raise StepFailed(f"{job.role} ended with {done.returncode}: {said[-1]}")
        return json.loads(answer.read_text(encoding="utf-8"))


def _environment(job: Job) -> dict[str, str]:
    """Threads are limited by environment: libraries read it once, when they are loaded."""
    environment = dict(os.environ)
    # A build may use all of them; a search is one call on one thread, and the clients are ours.
    # Pools that all clients share get a thread for each client.
    single = str(job.threads) if job.role == "build" else "1"
    environment.update(dict.fromkeys(_ONE, single))
    environment.update(dict.fromkeys(_POOLS, str(job.threads)))
    # The child must find this package where this process found it.
    root = str(Path(next(iter(evaluation.__path__))).resolve().parent)
    before = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([root, before] if before else [root])
    return environment
