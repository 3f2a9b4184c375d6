"""The pods of the fake cluster: really run, each in namespaces of its own by bubblewrap, with a cgroup that bounds its memory."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from contextlib import suppress
from typing import Any

from pointsman.execution.runners.local.cgroups import Cgroups, Group, Limits

NODE = "fake-node-1"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Images whose pods never run, and what a real node says of them.
WAITING = {
    "missing.example/image": ("ImagePullBackOff", 'Back-off pulling image "missing.example/image"'),
    "broken.example/image": ("CreateContainerError", "container create failed"),
}
NO_NODE = "unschedulable.example/image"
_LINKS = [word for name in ("bin", "sbin", "lib", "lib64") for word in ("--symlink", f"usr/{name}", f"/{name}")]
# As root's processes would be, moved into the pod's cgroup before they are anything else.
_JOIN = 'for file in $GROUPS_OF_POD; do echo $$ >"$file"; done; unset GROUPS_OF_POD; exec "$@"'


class Pod:
    """One pod: what the API says of it, and the process that is its container's first."""

    def __init__(self, job: dict[str, Any], cgroups: Cgroups) -> None:
        template = job["spec"]["template"]
        name = f"{job['metadata']['name']}-{secrets.token_hex(3)[:5]}"
        self.spec: dict[str, Any] = template["spec"]
        self.labels: dict[str, str] = dict(template["metadata"]["labels"])
        self.name = name
        self.is_lost = False
        self._status: dict[str, Any] = {"phase": "Pending"}
        self._cgroups = cgroups
        self._group: Group | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._first: int | None = None  # the host's id of the container's first process
        self._ending = asyncio.Lock()

    def read(self) -> dict[str, Any]:
        """As the API shows it."""
        metadata = {"name": self.name, "labels": self.labels, "uid": self.name}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**self.spec, "nodeName": NODE}, "status": self._status}

    async def start(self) -> None:
        """Run its container, or wait in vain as its image says."""
        image = self.spec["containers"][0]["image"]
        if image in WAITING:
            self._tell("Pending", {"waiting": dict(zip(("reason", "message"), WAITING[image], strict=True))})
        elif image == NO_NODE:
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
            self._status = {"phase": "Pending", "conditions": [condition]}
        else:
            await self._run()
            self._tell("Running", {"running": {"startedAt": "2026-01-01T00:00:00Z"}})

    async def exec(self, argv: list[str]) -> asyncio.subprocess.Process:
        """A process in the pod. Raises ProcessLookupError where its container is over."""
        await self.look_at_memory()
        if self._first is None:
            raise ProcessLookupError(f"cannot exec in a stopped container: {self.name}")
        cluster = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_PORT_443_TCP": "tcp://10.0.0.1:443"}
        variables = [f"{name}={value}" for name, value in {"PATH": PATH, "HOSTNAME": self.name, **cluster}.items()]
        enter = ["nsenter", f"--target={self._first}", "--user", "--mount", "--pid", "--net", "--ipc", "--uts", "--preserve-credentials"]
        drop = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
        return await self._spawn([*enter, "--", *drop, "--", "env", "-i", *variables, *argv], stdin=asyncio.subprocess.PIPE)

    async def look_at_memory(self) -> None:
        """What a kubelet does where the kernel ended something in a container's cgroup: version 2 ends all of it at once."""
        if self._group is not None and self._group.count_oom_kills():
            await self.end("Failed", {"terminated": {"exitCode": 137, "reason": "OOMKilled"}})

    async def evict(self) -> None:
        """As a node does that has too little left."""
        why = {"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}
        await self.end("Failed", {"terminated": {"exitCode": 137, "reason": "Error"}}, why)

    async def crash(self) -> None:
        """End with 137 and without the reason that would prove anything."""
        await self.end("Failed", {"terminated": {"exitCode": 137, "reason": "Error"}})

    def lose(self) -> None:
        """Its node does not answer any more; what runs there goes on, unheard."""
        self.is_lost = True
        self._status |= {"phase": "Unknown", "reason": "NodeLost", "message": f"Node {NODE} which was running pod is unresponsive"}

    async def end(self, phase: str, state: dict[str, Any], why: dict[str, str] | None = None) -> None:
        """Kill all that runs in it; repeatable, and the first end is the one that is told."""
        async with self._ending:
            if self._process is None:
                return
            self._tell(phase, state)
            self._status |= why or {}
            with suppress(ProcessLookupError):
                os.kill(self._first or 0, 9) if self._first else self._process.kill()
            self._first = None
            await self._process.wait()
            assert self._group is not None
            await asyncio.to_thread(self._group.end)
            self._process = None

    async def _run(self) -> None:
        container = self.spec["containers"][0]
        memory = int(container["resources"]["limits"]["memory"].removesuffix("Mi"))
        self._group = self._cgroups.create(self.labels["pointsman.handle"], Limits(memory, 512, 2.0))
        with _pipe() as (reading, writing):
            self._process = await self._spawn([*self._walls(writing), *container["command"]], keep=writing)
            os.close(writing)
            self._first = json.loads(await asyncio.to_thread(_read_all, reading))["child-pid"]

    def _walls(self, info: int) -> list[str]:
        context = self.spec["containers"][0]["securityContext"]
        ids = ["--uid", str(context["runAsUser"]), "--gid", str(context["runAsGroup"])]
        size = int(self.spec["volumes"][0]["emptyDir"]["sizeLimit"].removesuffix("Mi")) * 2**20
        folders = [word for path in ("/workspace", "/tmp") for word in ("--perms", "0777", "--size", str(size), "--tmpfs", path)]
        seen = ["--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc", *_LINKS, "--proc", "/proc", "--dev", "/dev", *folders]
        return ["bwrap", "--unshare-all", "--as-pid-1", "--die-with-parent", "--info-fd", str(info), *ids, *seen, "--remount-ro", "/", "--"]

    async def _spawn(
        self, argv: list[str], *, stdin: int = asyncio.subprocess.DEVNULL, keep: int | None = None
    ) -> asyncio.subprocess.Process:
        assert self._group is not None
        files = " ".join(str(folder / "cgroup.procs") for folder in self._group.folders)
        output = asyncio.subprocess.DEVNULL if keep is not None else asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *["/bin/sh", "-c", _JOIN, "sh", *argv],
            stdin=stdin,
            stdout=output,
            stderr=output,
            env={"PATH": PATH, "GROUPS_OF_POD": files},
            pass_fds=(keep,) if keep is not None else (),
            cwd="/",
        )

    def _tell(self, phase: str, state: dict[str, Any]) -> None:
        self._status = {"phase": phase, "containerStatuses": [{"name": "sandbox", "ready": "running" in state, "state": state}]}


class _Pipe:
    def __enter__(self) -> tuple[int, int]:
        self._reading, writing = os.pipe()
        return self._reading, writing

    def __exit__(self, *_exit: object) -> None:
        os.close(self._reading)


def _pipe() -> _Pipe:
    return _Pipe()


def _read_all(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read()
