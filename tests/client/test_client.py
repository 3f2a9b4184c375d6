"""The client against servers that behave, refuse, break off and fall silent."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.client.rude_server import BREAK, Answer, answering, frame

from pointsman.client import GatewayUnreachable, PointsmanClient, ProblemResponse, StreamLost, Transcript
from pointsman.client.streaming import parse
from pointsman.kit.problems import Kind

LOCATION = {"location": "/v2/runs/run_1", "content-type": "text/event-stream"}
STARTED = frame(1, "run.started")
ENDED = frame(9, "run.completed", content="Hello world")


def delta(seq: int, text: str, message: int = 0) -> bytes:
    return frame(seq, "message.delta", message=message, text=text)


def test_a_refusal_is_raised_with_its_code_its_hint_and_its_places() -> None:
    members = {
        "type": "/problems/invalid-request",
        "title": "The request is not valid",
        "status": 422,
        "detail": "One field is wrong.",
        "code": "invalid-request",
        "hint": "Look at errors[].",
        "errors": [{"pointer": "/name", "message": "It must not be blank."}],
        "request_id": "req_1",
    }
    with (
        answering(Answer(422, members, {"retry-after": "7"})) as server,
        PointsmanClient(server.url, "pm_x") as client,
        pytest.raises(ProblemResponse) as raised,
    ):
        client.prompts.create({"id": "x"})
    problem = raised.value
    assert (problem.code, problem.kind, problem.hint, problem.retry_after) == ("invalid-request", Kind.INVALID, "Look at errors[].", 7.0)
    assert problem.errors == [("/name", "It must not be blank.")]
    assert server.asked[0].headers["authorization"] == "Bearer pm_x"


def test_an_answer_that_is_no_problem_is_one_all_the_same() -> None:
    with (
        answering(Answer(502, "<html>")) as server,
        PointsmanClient(server.url) as client,
        pytest.raises(ProblemResponse, match="HTTP 502"),
    ):
        client.prompts.read("x")


def test_ids_are_one_step_of_a_path_whatever_is_in_them() -> None:
    with answering(Answer(200, {})) as server, PointsmanClient(server.url) as client:
        client.prompts.read("a/../b?c")
    assert server.asked[0].path == "/v2/prompts/a%2F..%2Fb%3Fc"


def test_a_list_is_read_page_by_page_and_no_further_than_asked() -> None:
    pages = [Answer(200, {"items": [1, 2], "next_cursor": "c1"}), Answer(200, {"items": [3, 4], "next_cursor": "c2"})]
    with answering(*pages) as server, PointsmanClient(server.url) as client:
        assert list(client.prompts.list(tags=["a", "b"], most=4)) == [1, 2, 3, 4]
    assert [asked.path for asked in server.asked] == [
        "/v2/prompts?tag=a&tag=b&include_inactive=false&limit=4",
        "/v2/prompts?tag=a&tag=b&include_inactive=false&limit=2&cursor=c1",
    ]


def test_nobody_at_the_address_is_told_at_once_also_for_a_stream() -> None:
    with PointsmanClient("http://127.0.0.1:9") as client:
        with pytest.raises(GatewayUnreachable, match="No gateway answers"):
            client.prompts.read("x")
        with pytest.raises(GatewayUnreachable, match="No gateway answers"):
            list(client.stream_chat("a", {"message": "x"}))


def test_an_address_that_is_none_is_told() -> None:
    with PointsmanClient("http://[oops") as client, pytest.raises((GatewayUnreachable, ValueError)):
        client.prompts.read("x")


def test_a_stream_that_breaks_is_taken_up_after_the_last_event() -> None:
    answers = [
        Answer(200, headers=LOCATION, chunks=(STARTED, delta(2, "Hel"), b"id: 3\nevent: message.del", BREAK)),
        Answer(503, {"code": "not-ready", "detail": "stopping"}),
        Answer(200, chunks=(delta(3, "lo "), delta(4, "wor"))),  # a draining replica ends it well, and too early
        Answer(200, chunks=(delta(4, "wor"), delta(5, "ld"), ENDED)),
    ]
    with answering(*answers) as server, PointsmanClient(server.url, "pm_x") as client:
        events = list(client.stream_chat("support", {"message": "Hi", "stream_verbosity": "events"}))
    transcript = Transcript()
    for event in events:
        transcript.take(event)
    assert [event.id for event in events] == [1, 2, 3, 4, 5, 9]
    assert transcript.text == "Hello world"
    assert server.asked[0].body == {"message": "Hi", "stream_verbosity": "events", "stream": True}
    assert [(asked.path, asked.headers["last-event-id"]) for asked in server.asked[1:]] == [
        ("/v2/runs/run_1/events?stream_verbosity=events", last) for last in ("2", "2", "4")
    ]


def test_a_turn_without_an_answer_is_sent_again_as_the_same_turn() -> None:
    answers = [Answer(chunks=(BREAK,)), Answer(200, headers=LOCATION, chunks=(STARTED, ENDED))]
    with answering(*answers) as server, PointsmanClient(server.url) as client:
        assert [event.name for event in client.stream_chat("support", {"message": "Hi"})] == ["run.started", "run.completed"]
    first, second = server.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_a_run_that_nobody_goes_on_telling_of_is_given_up_with_its_id() -> None:
    answers = [Answer(200, headers=LOCATION, chunks=(STARTED, BREAK)), Answer(503, {"code": "x"})]
    with answering(*answers) as server, PointsmanClient(server.url) as client, pytest.raises(StreamLost, match="run_1"):
        list(client.stream_chat("support", {"message": "Hi"}, patience=timedelta(seconds=0.3)))


def test_a_refused_turn_is_no_broken_stream() -> None:
    with (
        answering(Answer(404, {"code": "agent-not-found", "detail": "No agent."})) as server,
        PointsmanClient(server.url) as client,
        pytest.raises(ProblemResponse, match="No agent"),
    ):
        list(client.stream_chat("nobody", {"message": "Hi"}))
    assert len(server.asked) == 1


def test_a_reset_drops_the_text_of_its_message_only() -> None:
    transcript = Transcript()
    lines = (
        b"".join([delta(1, "Let me look."), delta(2, "It is", 1), frame(3, "message.reset", message=1), delta(4, "It was late.", 1)])
        .decode()
        .splitlines()
    )
    for event in parse([": still here", *lines, ""]):
        transcript.take(event)
    assert transcript.text == "Let me look.\n\nIt was late."
