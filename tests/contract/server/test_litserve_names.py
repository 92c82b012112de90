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


def test_every_route_of_a_litapi_depends_on_its_check_which_remembers_the_request() -> None:
    for register in ("_register_api_endpoints", "_register_spec_endpoints"):
        source = inspect.getsource(getattr(litserve.LitServer, register))
        assert "dependencies=[Depends(self.setup_auth(lit_api))]" in source


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


def test_what_a_users_litserver_holds_is_where_the_server_looks_for_it() -> None:
    api = litserve.LitAPI()
    server = litserve.LitServer(api, accelerator="cpu")
    assert server._callback_runner._callbacks == []
    assert server._logger_connector._loggers == []
    assert list(server.litapi_connector) == [api]
    assert server.devices == ["cpu"]
    assert (server.use_zmq, server.restart_workers, server.workers_per_device) == (False, False, 1)
    assert (server.enable_shutdown_api, server.max_payload_size) == (False, None)
    assert (server.timeout, api.request_timeout) == (30, 30)
    assert server.setup_auth(api) is litserve_server.no_auth
    added = {type(route).__name__ for route in server.app.routes if route.endpoint.__module__ == __name__}
    assert not added


def test_a_litapi_keeps_its_loop_and_a_spec_its_endpoints_where_the_server_looks_for_them() -> None:
    spec = litserve.OpenAIEmbeddingSpec()
    api = litserve.LitAPI(spec=spec)
    assert (api._loop, api.mcp) == ("auto", None)
    api.pre_setup()
    assert [path for path, _, _ in spec._endpoints] == ["/v1/embeddings"] * 2
    assert isinstance(spec.__dict__["request_queue"], type(None))


def test_a_streaming_handler_puts_in_the_task_of_its_request() -> None:
    source = inspect.getsource(litserve_server.StreamingRequestHandler.handle_request)
    assert "await self._submit_request(payload)" in source
