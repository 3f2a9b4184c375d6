"""What tests of runners share: servers of their own."""

from __future__ import annotations

from tests.conformance.runners.docker import docker_daemon
from tests.conformance.runners.kubernetes import fake_cluster
from tests.conformance.runners.remote_service import runner_gateway
from tests.conformance.runners.ssh import ssh_server

__all__ = ["docker_daemon", "fake_cluster", "runner_gateway", "ssh_server"]
