"""The pythae worker: `python -m benchmarks.peers.pythae.worker`, in the peer's environment."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (pythae is installed in the peer's own environment only; a type checker takes this folder for it.)

from benchmarks.peers.torch import device
from benchmarks.protocol import Kinds, serve_standard_streams

if __name__ == "__main__":
    device.set_up()
    serve_standard_streams(Kinds("benchmarks.peers.pythae"))
