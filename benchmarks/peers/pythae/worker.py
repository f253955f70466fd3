"""The pythae worker: `python -m benchmarks.peers.pythae.worker`, in the peer's environment."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (pythae is installed in the peer's own environment only; a type checker takes this folder for it.)

from benchmarks.peers.torch import device
from benchmarks.protocol import by_kind, serve_standard_streams

if __name__ == "__main__":
    device.set_up()
    serve_standard_streams(by_kind("benchmarks.peers.pythae"))
