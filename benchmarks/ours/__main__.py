"""Answers the benchmark's requests with the contestant that the job's kind names."""

from benchmarks.protocol import Kinds, serve_standard_streams

if __name__ == "__main__":
    serve_standard_streams(Kinds("benchmarks.ours"))
