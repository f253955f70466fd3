"""jaxgen's worker, `python -m benchmarks.ours`: one file a kind of job, `build(job) -> Contestant` in each."""
