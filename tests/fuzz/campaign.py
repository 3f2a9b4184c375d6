"""A run: so many generated requests over all operations and principals, every answer judged, every failure kept once."""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, Response
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.generation.stateful import run_state_machine_as_test
from schemathesis.generation.stateful.state_machine import StepInput, StepOutput
from tests.fuzz.judging import Finding, Request, judge, of_schemathesis
from tests.fuzz.principals import Company, Principal
from tests.fuzz.scene import Scene
from tests.fuzz.stock import AnyCase, Stock, furnish, keep_useful, make_harmless

_ANSWERED_WITHIN_SECONDS = 30
# Requests of one operation and caller in a row: enough for hypothesis to leave the simplest ones, few enough for data to mix.
_SMALLEST_BATCH, _LARGEST_BATCH = 4, 25
_CHAIN = 8  # requests of one chain
_LOOKED_AT_EVERY = 200
_UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example]
_SETTINGS = settings(database=None, deadline=None, phases=[Phase.generate], suppress_health_check=_UNHURRIED)


_Way: TypeAlias = "Callable[[Any, Principal, int], None]"


class Cell(NamedTuple):
    """Where a request is counted."""

    operation: str
    principal: str
    status: str


@dataclass
class Failed:
    """One sort of failure, with how to see it again."""

    finding: Finding
    operation: str
    principal: str
    status: int
    curl: str
    answer: str
    times: int = 1


@dataclass
class Tally:
    """What a run saw."""

    cells: Counter[Cell] = field(default_factory=Counter[Cell])
    failures: dict[tuple[str, ...], Failed] = field(default_factory=dict[tuple[str, ...], Failed])
    seconds: float = 0
    restored: int = 0

    @property
    def cases(self) -> int:
        return self.cells.total()


class Campaign:
    """Everything of one run."""

    def __init__(self, scene: Scene, number: int) -> None:
        self._scene = scene
        self._rng = random.Random(number)
        self._stock = Stock(self._rng)
        self._company = Company(scene)
        self._session = requests.Session()
        self._session.trust_env = False
        self._tally = Tally()
        furnish(scene, self._company, self._stock)
        document = scene.root.get("/openapi.json").raise_for_status().json()
        self._schema = schemathesis.openapi.from_dict(document, config=_configuration())
        self._schema.config.base_url = scene.url
        self._chain: Any = self._schema.as_state_machine()
        self._operations: list[Any] = [result.ok() for result in self._schema.get_all_operations() if isinstance(result, Ok)]
        self._edges: defaultdict[str, list[AnyCase]] = defaultdict(list[AnyCase])
        self._budget = 0
        self._until = 0.0

    def run(self, count: int, seconds: float) -> Tally:
        """Until `count` requests were judged, or the time is over."""
        began = time.monotonic()
        self._until = began + seconds
        for way, share in (self._valid, 0.4), (self._invalid, 0.7), (self._at_edges, 0.9), (self._chained, 1.0):
            self._budget = round(count * share)
            self._spend(way)
        self._tally.seconds = time.monotonic() - began
        self._tally.restored = self._company.restored
        return self._tally

    def _spend(self, way: _Way) -> None:
        """Ask in one way, in turns over all operations and callers, until its share is used up."""
        pairs = [(operation, principal) for operation in self._operations for principal in self._company.callers]
        batch = max(_SMALLEST_BATCH, min(_LARGEST_BATCH, (self._budget - self._tally.cases) // len(pairs)))
        idle = 0
        while not self._over and idle < len(pairs):
            self._rng.shuffle(pairs)
            for operation, principal in pairs:
                before = self._tally.cases
                way(operation, principal, min(batch, self._budget - before))
                idle = idle + 1 if self._tally.cases == before else 0
                if self._over:
                    break

    @property
    def _over(self) -> bool:
        return self._tally.cases >= self._budget or time.monotonic() > self._until

    def _valid(self, operation: Any, principal: Principal, count: int) -> None:
        self._generated(operation, principal, count, GenerationMode.POSITIVE)

    def _invalid(self, operation: Any, principal: Principal, count: int) -> None:
        self._generated(operation, principal, count, GenerationMode.NEGATIVE)

    def _generated(self, operation: Any, principal: Principal, count: int, mode: GenerationMode) -> None:
        @seed(self._rng.getrandbits(64))
        @settings(_SETTINGS, max_examples=count)
        @given(case=operation.as_strategy(generation_mode=mode, feedback=NO_FEEDBACK))
        def each(case: AnyCase) -> None:
            if not self._over:
                self.ask(case, principal)

        with suppress(Unsatisfiable):  # nothing can be wrong with a request that has no parts
            each()

    def _at_edges(self, operation: Any, principal: Principal, count: int) -> None:
        """The bounds of every field, what is missing, and the methods that are not there."""
        left = self._edges[operation.label]
        if len(left) < count:
            self._schema.coverage_unexpected_methods_seen.clear()
            modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
            left.extend(
                self._schema.iter_coverage_cases(operation, generation_modes=modes, generation_config=self._schema.config.generation)
            )
            self._rng.shuffle(left)
        for _ in range(min(count, len(left))):
            self.ask(left.pop(), principal)

    def _chained(self, _operation: Any, principal: Principal, count: int) -> None:
        """Requests that follow from the answers before: what was made is there, and what was deleted is gone."""
        campaign = self

        class Chain(self._chain):
            def step(self, input: StepInput) -> Any:  # noqa: A002 - the name in the class that is extended
                response = None if campaign._over else campaign.ask(input.case, principal, recorder=self.recorder)
                return StepOutput(response, input.case) if response is not None else None

        steps = settings(_SETTINGS, max_examples=max(1, count // _CHAIN), stateful_step_count=_CHAIN)
        seed(self._rng.getrandbits(64))(Chain)
        run_state_machine_as_test(Chain, settings=steps)

    def ask(self, case: AnyCase, principal: Principal, recorder: ScenarioRecorder | None = None) -> Response | None:
        """Send one request and judge its answer; with a recorder it is a step of a chain, whose ids come from the steps before."""
        if recorder is None:
            self._stock.aim(case, principal)
        make_harmless(case, self._company.protected)
        headers = principal.headers()
        for name in ("Authorization", "X-API-Key"):
            case.headers.pop(name, None)
        sent = f"{case.path_parameters} {case.query} {dict(case.headers)} {case.body}"
        request = Request(case, principal, _alternatives(case.operation), sent)
        try:
            response = case.call(base_url=self._scene.url, session=self._session, headers=headers, timeout=_ANSWERED_WITHIN_SECONDS)
        except requests.RequestException as error:
            self._keep(Finding("an_answer", f"{type(error).__name__}: {error}"[:300]), request, None)
            return None
        self._tally.cells[Cell(case.operation.label, principal.name, f"{response.status_code // 100}xx")] += 1
        if recorder is not None:
            recorder.record_response(case_id=case.id, response=response)
        # A key that generated requests have revoked, with its whole tenant perhaps, is rightly refused.
        was_gone = response.status_code == 401 and self._company.restore(principal)
        if not was_gone:
            for finding in self._judged(request, response, headers, recorder):
                self._keep(finding, request, response)
        self._learn(case, response)
        if self._tally.cases % _LOOKED_AT_EVERY == 0:
            self._company.restore(principal)
        if self._tally.cases % _LOOKED_AT_EVERY == 0:
            keep_useful(self._scene)
        return response

    def _judged(
        self, request: Request, response: Response, headers: dict[str, str], recorder: ScenarioRecorder | None
    ) -> Iterator[Finding]:
        secrets = [*self._scene.secrets(), *(principal.key for principal in self._company.callers if principal.key)]
        yield from judge(request, response, secrets)
        transport = {"session": self._session, "base_url": self._scene.url}
        try:
            request.case.validate_response(response, headers=headers, transport_kwargs=transport, recorder=recorder)
        except FailureGroup as group:
            yield from of_schemathesis(group, request, response)

    def _learn(self, case: AnyCase, response: Response) -> None:
        kind = response.headers.get("content-type", [""])[0]
        if not response.content or kind not in {"application/json", "application/problem+json"}:
            return  # an export is lines of JSON, and an event stream none
        if response.status_code < 300:
            self._stock.learn(case.path, json.loads(response.content))
        elif response.status_code >= 400:
            self._stock.learn_problem(json.loads(response.content))

    def _keep(self, finding: Finding, request: Request, response: Response | None) -> None:
        status = response.status_code if response else 0
        key = (finding.check, request.case.operation.label, request.principal.name, str(status), finding.message[:60])
        if key in self._tally.failures:
            self._tally.failures[key].times += 1
            return
        curl = request.case.as_curl_command()
        answer = response.content[:1500].decode(errors="replace") if response else ""
        self._tally.failures[key] = Failed(finding, request.case.operation.label, request.principal.name, status, curl, answer)


def _configuration() -> schemathesis.Config:
    config = schemathesis.Config()
    checks = config.projects.default.checks
    # A failure of ours is no refusal; an address or a body beyond its bound is one.
    checks.negative_data_rejection.expected_statuses = ["400", "401", "403", "404", "405", "409", "413", "415", "422"]
    checks.positive_data_acceptance.expected_statuses = ["2xx", "401", "403", "404", "409"]
    return config


def _alternatives(operation: Any) -> list[list[str]]:
    security: list[dict[str, list[str]]] = operation.definition.raw.get("security", [])
    return [scopes for scheme in security for scopes in scheme.values()]
