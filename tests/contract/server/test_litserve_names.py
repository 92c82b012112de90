"""The names of LitServe that the HTTP side touches beyond its documented ones; an upgrade that moves one fails here."""

from __future__ import annotations

import inspect

import litserve
from litserve import server as litserve_server
from litserve.utils import LitAPIStatus, ResponseBufferItem, WorkerSetupStatus


def test_litserve_is_the_pinned_version() -> None:
    assert litserve.__version__ == "0.2.19"


def test_handlers_look_the_queue_up_for_each_request_and_put_four_things() -> None:
    source = inspect.getsource(litserve_server.BaseRequestHandler._submit_request)
    assert "_get_request_queue(self.lit_api.api_path)" in source
    assert "request_queue.put((response_queue_id, uid, time.monotonic(), payload))" in source
    assert "litapi_request_queues[api_path]" in inspect.getsource(litserve.LitServer._get_request_queue)


def test_answers_go_through_the_response_buffer() -> None:
    item = ResponseBufferItem(event=None)
    assert {"event", "response", "response_queue"} <= set(vars(item))
    assert all(hasattr(LitAPIStatus, name) for name in ("OK", "ERROR", "FINISH_STREAMING"))
    regular = inspect.getsource(litserve_server.RegularRequestHandler.handle_request)
    assert "self.server.response_buffer[uid] = ResponseBufferItem(event)" in regular
    assert "isinstance(response, HTTPException)" in inspect.getsource(
        litserve_server.RegularRequestHandler._handle_error_response
    )


def test_health_reads_the_status_of_the_workers() -> None:
    source = inspect.getsource(litserve.LitServer._register_internal_endpoints)
    assert "workers_setup_status.values()" in source
    assert hasattr(WorkerSetupStatus, "READY")


def test_the_hooks_and_properties_that_the_worker_calls_exist() -> None:
    for name in ("setup", "decode_request", "batch", "predict", "unbatch", "encode_response", "pre_setup"):
        assert callable(getattr(litserve.LitAPI, name))
    api = litserve.LitAPI(max_batch_size=2)
    assert (api.max_batch_size, api.stream, api.api_path) == (2, False, "/predict")
    assert callable(api.format_encoded_response)
    assert isinstance(litserve.LitAPI.device, property)
