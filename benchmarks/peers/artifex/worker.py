"""The artifex worker: `python -m benchmarks.peers.artifex.worker`, in the peer's environment."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (artifex is installed in the peer's own environment only; a type checker takes this folder for it.)

from benchmarks.protocol import Kinds, serve_standard_streams

if __name__ == "__main__":
    serve_standard_streams(Kinds("benchmarks.peers.artifex"))
