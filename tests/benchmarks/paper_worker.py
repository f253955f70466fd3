"""A worker without a library behind it, for the tests: it sleeps, or fails as its job says."""

import os
import time

from benchmarks.protocol import Incomparable, serve_standard_streams


class Paper:
    unit = 2

    def __init__(self, job):
        self._job = job
        self.facts = {"device": "paper", "versions": {"paper": "1"}, **job.get("facts", {})}
        if self._job.get("variant") in self._job.get("broken", ()):
            raise OSError("no compiler")
        print("a library that talks on stdout")

    def run(self, steps):
        if self._job.get("die"):
            os._exit(3)
        time.sleep(steps * self._job.get("step_s", 1e-3))

    def costs(self):
        return {
            "flops_per_step": self._job.get("flops", 2e6),
            "matmul_flops_per_s": {"fp32": 1e10, "bf16": 2e10},
            "copy_bytes_per_s": 1e10,
        }

    def losses(self, steps, path):
        if self._job.get("variant") in self._job.get("other", ()):
            raise Incomparable("it computes something else")
        off = self._job.get("off", {}).get(self._job.get("variant"), 0.0)
        moves = 0.0 if self._job.get("still") else 0.1
        return [[1.0 - moves * i, off] for i in range(steps)]


if __name__ == "__main__":
    serve_standard_streams(Paper)
