"""Everything that LitServe's documentation teaches runs unmodified, on its own route and by the protocol."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.integration.server.harness import Server, StreamClient, eventually, tensor

SECONDS = 60


def serve(name: str, *arguments: str) -> Server:
    return Server(f"python://litserve_examples:{name}", *arguments)


def post(server: Server, body: Any, path: str = "/predict", **options: Any) -> requests.Response:
    return requests.post(f"{server.http}{path}", json=body, timeout=SECONDS, **options)


def texts(name: str, *values: str) -> Any:
    return tensor(name, np.array([v.encode() for v in values], object), "BYTES")


def test_the_first_example_answers_on_its_route_and_by_the_protocol() -> None:
    with serve("Doubler") as server:
        assert post(server, {"input": 21}).json() == {"output": 42, "device": "cpu"}
        assert requests.get(f"{server.http}/", timeout=SECONDS).text == "litserve running"
        with triton.InferenceServerClient(server.grpc) as client:
            answer = client.infer("m", [tensor("input", np.array([[1.5]], np.float32))])
            assert answer.as_numpy("output").tolist() == [[3.0]]
            assert answer.as_numpy("device").item() == b"cpu"


def test_hooks_that_are_not_overridden_have_litserves_defaults() -> None:
    with serve("OnlyPredict") as server:
        assert post(server, {"values": [1, 2, 3]}).json() == {"sum": 6}


def test_batches_have_a_context_for_each_call_and_one_bad_call_fails_alone() -> None:
    with serve("batched", "--max-latency", "10s") as server, ThreadPoolExecutor(12) as pool:

        def burst() -> bool:
            bodies = [{"name": "broken" if i == 5 else f"n{i}", "value": i} for i in range(12)]
            answers = list(pool.map(lambda body: post(server, body), bodies))
            assert [a.status_code for a in answers] == [500 if i == 5 else 200 for i in range(12)]
            assert "no answer for broken" in answers[5].json()["detail"]
            found = [a.json() for i, a in enumerate(answers) if i != 5]
            assert all(f["value"] == float(f["name"][1:]) + 0.5 for f in found)
            return max(f["size"] for f in found) > 1

        eventually("a batch of more than one call", burst)


def test_a_litapis_batch_size_beyond_the_servers_is_limited_and_said() -> None:
    with serve("batched", "--max-batch-size", "2") as server:
        assert post(server, {"name": "a", "value": 1}).json()["size"] == 1
        line = next(line for line in server.lines if "event=batch_size_limited" in line)
        assert "wanted=4 limit=2" in line
        assert "--max-batch-size" in line


def test_generators_stream_over_http_and_grpc() -> None:
    with serve("words") as server:
        answer = post(server, {"text": "a b c"}, stream=True)
        assert [json.loads(line) for line in answer.iter_lines()] == [{"word": w} for w in "abc"]
        refused = post(server, {"text": ""})
        assert (refused.status_code, refused.json()) == (422, {"detail": "text is empty"})
        with StreamClient(server.grpc) as stream:
            stream.send("m", [tensor("text", np.array(b"x", object), "BYTES")])
            result, error = stream.take()
            assert result is None
            assert "split" in str(error) or "no attribute" in str(error)


def test_frames_may_be_text_or_bytes() -> None:
    with serve("raw_frames") as server:
        assert post(server, {"count": 4}).content == b"<0>\xff\x01<2>\xff\x03"


def test_batched_streams_give_each_call_its_own_frames() -> None:
    with serve("batched_words") as server, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda text: post(server, {"text": text}).text, ["a b", "c", "d e f"]))
        words = [[json.loads(line)["word"] for line in answer.splitlines()] for answer in answers]
        assert words == [["a", "b"], ["c"], ["d", "e", "f"]]


def test_async_calls_run_side_by_side() -> None:
    with serve("patient") as server, ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: post(server, {"wanted": 40}).json(), range(40)))
    assert [a["arrived"] for a in answers] == [40] * 40


def test_async_generators_stream() -> None:
    with serve("async_words") as server:
        lines = post(server, {"text": "a b"}).text.splitlines()
        assert [json.loads(line)["word"] for line in lines] == ["a", "b"]


def test_pydantic_bodies_and_answers_are_objects_with_their_defaults() -> None:
    with serve("Typed") as server:
        assert post(server, {"text": "ab", "times": 2}).json() == {"text": "abab", "length": 4}
        wrong = post(server, {"times": 2})
        assert wrong.status_code == 422
        assert wrong.json()["detail"][0]["loc"] == ["body", "text"]
        with triton.InferenceServerClient(server.grpc) as client:
            inputs = [texts("text", "ab"), tensor("times", np.array([3], np.int64), "INT64")]
            answer = client.infer("m", inputs)
            assert answer.as_numpy("text").item() == b"ababab"
            with pytest.raises(InferenceServerException, match="do not make a Question") as refused:
                client.infer("m", [tensor("times", np.array([3], np.int64), "INT64")])
            assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_an_answer_may_be_a_whole_http_response() -> None:
    with serve("Picture") as server:
        answer = post(server, {"bytes": [137, 80, 255]})
        assert answer.content == bytes([137, 80, 255])
        assert (answer.headers["content-type"], answer.headers["x-size"]) == ("image/png", "3")
        with (
            triton.InferenceServerClient(server.grpc) as client,
            pytest.raises(InferenceServerException, match="holds a Response, which is no tensor"),
        ):
            client.infer("m", [tensor("bytes", np.array([1], np.int64), "INT64")])


def test_a_pydantic_body_is_in_the_worker_what_it_was_in_the_front() -> None:
    with serve("Secretive") as server:
        answer = post(server, {"secret": "sesame", "count": 1}).json()
        assert answer == {"secret": "sesame", "count": 2, "given": ["count", "secret"]}
        assert post(server, {"secret": "s"}).json() == {"secret": "s", "count": 0, "given": ["secret"]}


def test_an_answer_may_be_a_file() -> None:
    with serve("Manual") as server:
        answer = post(server, {})
        assert answer.content == (Path(__file__).parent / "served" / "litserve_examples.py").read_bytes()
        assert answer.headers["content-disposition"] == 'attachment; filename="manual.py"'


def test_a_form_with_a_file_reaches_the_model() -> None:
    with serve("Upload") as server:
        files = {"file": ("cat.png", b"x" * 3_000_000, "image/png")}
        answer = requests.post(f"{server.http}/predict", data={"note": "hello"}, files=files, timeout=SECONDS)
        assert answer.json() == {"note": "hello", "name": "cat.png", "size": 3_000_000}


def test_every_kind_of_exception_is_an_answer_and_the_server_goes_on() -> None:
    with serve("Failing") as server:
        expected = {
            "http": (404, "nothing here"),
            "teapot": (503, "try later"),
            "lock": (500, "LockedError: locked"),
        }
        for how, (status, text) in expected.items():
            failed = post(server, {"how": how})
            assert failed.status_code == status
            assert text in failed.json()["detail"]
        assert "not UTF-8" in post(server, {"how": "bytes"}).json()["detail"]
        assert "neither a tensor nor JSON" in post(server, {"how": "nan"}).json()["detail"]
        assert post(server, {}).status_code == 500
        assert post(server, {"how": "well"}).json() == {"fine": "well"}
        assert not [line for line in server.lines if "worker_died" in line]


def test_the_litapis_own_authorize_guards_every_way_in() -> None:
    with serve("Locked") as server:
        good = {"authorization": "Bearer open sesame"}
        bad = {"authorization": "Bearer wrong"}
        inputs = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]}
        for path, body in (("/predict", {}), ("/v2/models/m/infer", inputs)):
            assert post(server, body, path, headers=good).status_code == 200
            assert post(server, body, path, headers=bad).status_code == 401
            assert post(server, body, path).status_code in (401, 403)
        assert requests.get(f"{server.http}/health", timeout=SECONDS).text == "ok"
        assert requests.get(f"{server.http}/v2/health/ready", timeout=SECONDS).status_code == 200
        with triton.InferenceServerClient(server.grpc) as client:
            assert client.is_server_ready()
            request = [tensor("x", np.array([1], np.int64), "INT64")]
            answer = client.infer("m", request, headers={"authorization": "Bearer open sesame"})
            assert answer.as_numpy("secret").item() == 42
            for headers in ({"authorization": "Bearer wrong"}, {}):
                with pytest.raises(InferenceServerException) as refused:
                    client.infer("m", request, headers=headers)
                assert refused.value.status() == "StatusCode.UNAUTHENTICATED"


def test_callbacks_loggers_middlewares_and_routes_of_a_litserver_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "trace"
    monkeypatch.setenv("TRACE_FILE", str(trace))

    def noted() -> list[str]:
        return trace.read_text().splitlines()

    with serve("whole_server") as server:
        answer = post(server, {"input": 5}, "/v1/talk")
        assert answer.json() == {"output": 5}
        assert answer.headers["x-stamp"] == "yes"
        eventually("the log entry", lambda: "log seen=5" in noted())
        assert requests.get(f"{server.http}/alive", timeout=SECONDS).text == "ok"
        info = requests.get(f"{server.http}/info", timeout=SECONDS).json()
        assert info["model"] == {"colour": "blue"}
        assert requests.get(f"{server.http}/extra", timeout=SECONDS).json() == {"extra": True}
        with triton.InferenceServerClient(server.grpc) as client:
            client.infer("m", [tensor("input", np.array([7], np.int64), "INT64")])
    lines = noted()
    assert lines.count("server_end") == 1
    assert "server_start" in lines
    assert "before_setup Talkative" in lines
    assert lines.count("response") == lines.count("request active=0") == 2
    hooks = [line for line in lines if line.startswith(("before_", "after_")) and "setup" not in line]
    once = [f"{when}_{hook}" for hook in ("decode", "predict", "encode") for when in ("before", "after")]
    assert hooks == once * 2


def test_health_is_the_litapis_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sick = tmp_path / "sick"
    monkeypatch.setenv("SICK_FILE", str(sick))
    with serve("Sick") as server:
        assert requests.get(f"{server.http}/health", timeout=SECONDS).status_code == 200
        sick.touch()
        assert requests.get(f"{server.http}/health", timeout=SECONDS).status_code == 503
        with triton.InferenceServerClient(server.grpc) as client:
            eventually("the protocol to say not ready", lambda: not client.is_server_ready())
            assert requests.get(f"{server.http}/v2/health/ready", timeout=SECONDS).status_code == 503
            assert "health() says no" in str(client.get_model_repository_index())
            sick.unlink()
            eventually("the protocol to say ready", lambda: client.is_model_ready("m"))


def test_several_litapis_have_their_routes_and_are_chosen_by_the_protocol() -> None:
    with serve("several") as server:
        assert post(server, {"x": [1, 2, 3]}, "/count").json() == {"sum": 6}
        assert post(server, {"text": "abc"}, "/upper").json()["text"] == "ABC"
        assert post(server, {"text": "a b"}, "/words").text == '{"word": "a"}\n{"word": "b"}\n'
        x = tensor("x", np.array([1.0, 2.0], np.float32))
        with triton.InferenceServerClient(server.grpc) as client:
            assert client.infer("m", [x]).as_numpy("sum").item() == 3.0
            answer = client.infer("m", [texts("text", "q")], parameters={"api_path": "/upper"})
            assert answer.as_numpy("text").item() == b"[B'Q']"
            with pytest.raises(InferenceServerException, match="allowed: /count, /upper, /words"):
                client.infer("m", [x], parameters={"api_path": "/nowhere"})
            with pytest.raises(InferenceServerException, match="only streams"):
                client.infer("m", [x], parameters={"api_path": "/words"})


def test_one_of_several_litapis_can_be_served_alone() -> None:
    with serve("several", "--set", "api_path=/upper") as server:
        assert post(server, {"text": "abc"}, "/upper").json()["text"] == "ABC"
        assert post(server, {"x": [1]}, "/count").status_code == 404


CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "temperature": 0.25}


def test_openais_chat_route_answers_whole_and_in_parts() -> None:
    with serve("chat") as server:
        answer = post(server, CHAT | {"n": 2}, "/v1/chat/completions").json()
        assert [c["message"]["content"] for c in answer["choices"]] == ["hello at 0.25 ok"] * 2
        lines = post(server, CHAT | {"stream": True}, "/v1/chat/completions").text.split("\n\n")
        parts = [json.loads(line.removeprefix("data: ")) for line in lines if "{" in line]
        content = [part["choices"][0]["delta"]["content"] for part in parts]
        assert content == ["hello at 0.25", " ok", None]
        assert lines[-2] == "data: [DONE]"


@pytest.mark.parametrize(("name", "content"), [("tool_chat", "customcustom"), ("async_chat", "one two")])
def test_openais_chat_route_with_other_hooks(name: str, content: str) -> None:
    with serve(name) as server:
        answer = post(server, CHAT, "/v1/chat/completions").json()
        assert answer["choices"][0]["message"]["content"] in (content, content[:6])


def test_openais_embedding_route_answers() -> None:
    with serve("embed") as server:
        body = {"input": ["a", "bcd"], "model": "m", "encoding_format": "float"}
        answer = post(server, body, "/v1/embeddings").json()
        assert [item["embedding"] for item in answer["data"]] == [[1.0, 0.5], [3.0, 0.5]]
        assert answer["usage"]["prompt_tokens"] == 3


def test_a_call_that_waits_longer_than_the_litservers_timeout_is_answered_504(tmp_path: Path) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    body = {"gate": str(gate), "begun": str(begun)}
    with serve("impatient") as server, ThreadPoolExecutor(4) as pool:

        def is_computed() -> bool:
            """On a slow machine the first one may wait too long, too."""
            nonlocal first
            if first.done() and not begun.exists():
                assert first.result().status_code == 504
                first = pool.submit(post, server, body)
            return begun.exists()

        first = pool.submit(post, server, body)
        eventually("a call in the worker", is_computed)
        others = [pool.submit(post, server, body) for _ in range(3)]
        # One is before the worker already, and is looked at when it comes to it.
        eventually("calls that waited too long", lambda: sum(call.done() for call in others) >= 2)
        gate.touch()
        assert [call.result(SECONDS).status_code for call in others] == [504] * 3
        assert first.result(SECONDS).status_code == 200


def test_large_json_goes_through() -> None:
    with serve("BigAnswer") as server:
        values = [i / 7 for i in range(200_000)]
        answer = post(server, {"values": values}).json()
        assert answer.get("count") == len(values), answer
        assert answer["echo"] == values


REFUSED = [
    ("own_loop", ("loop=OwnLoop", "remove loop=")),
    ("shutdown", ("enable_shutdown_api", "SIGTERM")),
    ("payload", ("max_payload_size", "--max-message-bytes")),
    ("workers", ("workers_per_device=2", "--workers")),
    ("async_batched", ("enable_async with max_batch_size=2", "side by side")),
    ("taken_path", ("'/v2/mine'", "belong to this server")),
    ("same_paths", ("'/predict'", "its own")),
    ("NotStreaming", ("stream=False", "generator")),
    ("no_api", ("InMemory", "LitServer")),
    ("words", ("takes no parameter 'colour'", "api_path")),
]


@pytest.mark.parametrize(("name", "words"), REFUSED, ids=[name for name, _ in REFUSED])
def test_what_is_not_supported_is_refused_at_start_by_name(name: str, words: tuple[str, ...]) -> None:
    server = serve(name, *(["--set", "colour=red"] if name == "words" else []))
    try:
        assert server.wait_exit() == 1
    finally:
        server.kill()
    for word in words:
        assert word in server.lines[-1]


def test_a_script_that_runs_its_own_server_when_imported_is_told_so() -> None:
    server = Server("python://running_script:Api")
    try:
        assert server.wait_exit() == 1
    finally:
        server.kill()
    assert "__main__" in server.lines[-1]
