"""Four virtual CPU devices for every test, strict ranks, no network."""

import os
import socket

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any connection but one on this machine's own sockets is a defect: jaxgen is offline unless asked."""

    def refuse(self, address, *args):
        raise AssertionError(f"a test tried to connect to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
