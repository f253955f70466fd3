"""What `benchmarks/results` holds, as one page and one table: `python -m benchmarks.report`."""
