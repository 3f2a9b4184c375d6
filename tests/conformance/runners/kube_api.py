"""A small fake of a Kubernetes API server: what a target needs of one, with pods that really run. It is a program of its own.

Its first argument is the token that it takes. It prints its port, and ends with its standard input. `/fake/…` is for the tests.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from tests.conformance.runners import kube_exec
from tests.conformance.runners.kube_pods import Pod
from tests.conformance.runners.pod_security import violations

from pointsman.execution.runners.local.cgroups import Cgroups, find_cgroups

QUOTA = "quota.example/image"  # a job of it gets no pod, as where a namespace's quota of pods is used up
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Cluster:
    """One namespace's worth of state."""

    def __init__(self, token: str, cgroups: Cgroups) -> None:
        self._token = token
        self._cgroups = cgroups
        self._jobs: dict[str, dict[str, Any]] = {}
        self._pods: dict[str, Pod] = {}
        self._events: list[dict[str, Any]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.reset()

    def reset(self) -> None:
        """No faults, and the NetworkPolicy that the guide has."""
        self._faults: list[dict[str, Any]] = []
        self._denied: set[str] = set()
        self._cut_after: int | None = None
        deny = {"podSelector": {"matchLabels": {"pointsman.network": "none"}}, "policyTypes": ["Ingress", "Egress"]}
        self._policies: list[dict[str, Any]] = [{"metadata": {"name": "deny"}, "spec": deny}]

    def app(self) -> web.Application:
        """Every route."""
        namespaced = "/namespaces/jobs"
        jobs, pods = f"/apis/batch/v1{namespaced}/jobs", f"/api/v1{namespaced}/pods"

        @web.middleware
        async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._at_the_door(request, handler)

        app = web.Application(middlewares=[door], client_max_size=2**22)
        app.add_routes(
            [
                web.get("/version", self._version),
                web.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self._review),
                web.get(f"/apis/networking.k8s.io/v1{namespaced}/networkpolicies", self._list_policies),
                web.post(jobs, self._create_job),
                web.get(jobs, self._list_jobs),
                web.delete(f"{jobs}/{{name}}", self._delete_job),
                web.get(pods, self._list_pods),
                web.get(f"{pods}/{{name}}", self._get_pod),
                web.delete(f"{pods}/{{name}}", self._delete_pod),
                web.get(f"{pods}/{{name}}/exec", self._exec),
                web.get(f"/api/v1{namespaced}/events", self._list_events),
                web.put("/fake/faults", self._set_faults),
                web.post("/fake/pods/{handle}/{what}", self._happen),
                web.get("/fake/leftovers", self._leftovers),
            ]
        )
        app.on_shutdown.append(self._close)
        return app

    async def _at_the_door(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return _refusal(401, "Unauthorized")
        for fault in self._faults:
            if fault["times"] > 0 and re.search(fault["call"], f"{request.method} {request.path_qs}"):
                fault["times"] -= 1
                return _refusal(fault["status"], fault["message"])
        try:
            return await handler(request)
        except KeyError as error:
            return _refusal(404, f"{error.args[0]!r} not found")

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"major": "1", "minor": "33", "gitVersion": "v1.33.0-fake"})

    async def _review(self, request: web.Request) -> web.Response:
        asked = (await request.json())["spec"]["resourceAttributes"]
        named = f"{asked['verb']} {asked['resource']}" + (f"/{asked['subresource']}" if asked.get("subresource") else "")
        return web.json_response({"status": {"allowed": named not in self._denied}}, status=201)

    async def _list_policies(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": self._policies})

    async def _create_job(self, request: web.Request) -> web.Response:
        job = await request.json()
        name, pod = job["metadata"]["name"], job["spec"]["template"]["spec"]
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            return _refusal(422, f'Job.batch "{name}" is invalid: metadata.name')
        if broken := violations(pod):
            return _refusal(403, f'pods "{name}" is forbidden: violates PodSecurity "restricted:latest": {", ".join(broken)}')
        if name in self._jobs:
            return _refusal(409, f'jobs.batch "{name}" already exists')
        if request.query.get("dryRun") != "All":
            self._jobs[name] = job
            task = asyncio.create_task(self._make_pod(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return web.json_response(job, status=201)

    async def _make_pod(self, job: dict[str, Any]) -> None:
        if job["spec"]["template"]["spec"]["containers"][0]["image"] == QUOTA:
            involved = {"kind": "Job", "name": job["metadata"]["name"]}
            message = 'Error creating: pods "x" is forbidden: exceeded quota: jobs'
            self._events.append({"involvedObject": involved, "reason": "FailedCreate", "message": message})
            return
        pod = Pod(job, self._cgroups)
        self._pods[pod.name] = pod
        await pod.start()

    async def _list_jobs(self, request: web.Request) -> web.Response:
        return web.json_response({"items": [job for job in self._jobs.values() if _selected(request, job["metadata"]["labels"])]})

    async def _delete_job(self, request: web.Request) -> web.Response:
        job = self._jobs.pop(request.match_info["name"])
        options = await request.json()
        if options.get("propagationPolicy") in {"Background", "Foreground"}:
            for pod in self._of(job["metadata"]["name"]):
                await self._end(pod)
        return web.json_response({"status": "Success"})

    async def _list_pods(self, request: web.Request) -> web.Response:
        return web.json_response({"items": [pod.read() for pod in self._pods.values() if _selected(request, pod.labels)]})

    async def _get_pod(self, request: web.Request) -> web.Response:
        pod = self._pods[request.match_info["name"]]
        await pod.look_at_memory()
        return web.json_response(pod.read())

    async def _delete_pod(self, request: web.Request) -> web.Response:
        await self._end(self._pods[request.match_info["name"]])
        return web.json_response({"status": "Success"})

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        pod = self._pods[request.match_info["name"]]
        if pod.is_lost:
            return _refusal(500, "error dialing backend: dial tcp: i/o timeout")
        cut, self._cut_after = self._cut_after, None
        try:
            return await kube_exec.serve(request, pod, cut_after=cut)
        except ProcessLookupError as error:
            return _refusal(500, str(error))

    async def _list_events(self, request: web.Request) -> web.Response:
        wanted = dict(one.split("=", 1) for one in request.query["fieldSelector"].split(","))
        found = [one for one in self._events if one["involvedObject"]["name"] == wanted["involvedObject.name"]]
        return web.json_response({"items": found})

    async def _set_faults(self, request: web.Request) -> web.Response:
        self.reset()
        asked = await request.json()
        self._faults = asked.get("calls", [])
        self._denied = set(asked.get("denied", []))
        self._cut_after = asked.get("cut_after")
        self._policies = asked.get("policies", self._policies)
        return web.json_response({})

    async def _happen(self, request: web.Request) -> web.Response:
        [pod] = self._of(request.match_info["handle"])
        match request.match_info["what"]:
            case "evict":
                await pod.evict()
            case "crash":
                await pod.crash()
            case _:
                pod.lose()
        return web.json_response({})

    async def _leftovers(self, _request: web.Request) -> web.Response:
        return web.json_response([*(f"job {name}" for name in self._jobs), *(f"pod {name}" for name in self._pods)])

    def _of(self, handle: str) -> list[Pod]:
        return [pod for pod in self._pods.values() if pod.labels["pointsman.handle"] == handle]

    async def _end(self, pod: Pod) -> None:
        await pod.end("Failed", {"terminated": {"exitCode": 137, "reason": "Error"}})
        self._pods.pop(pod.name, None)

    async def _close(self, _app: web.Application) -> None:
        for pod in list(self._pods.values()):
            await self._end(pod)


def _selected(request: web.Request, labels: dict[str, str]) -> bool:
    name, _, value = request.query.get("labelSelector", "").partition("=")
    return not name or (labels.get(name) == value if value else name in labels)


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "status": "Failure", "message": message, "code": status}, status=status)


async def main(token: str) -> None:
    """Serve until standard input ends."""
    cgroups = find_cgroups()
    assert cgroups is not None
    runner = web.AppRunner(Cluster(token, cgroups).app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
