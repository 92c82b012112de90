"""What the server tells about its model beyond the protocol: configuration, statistics, repository index.

The documents have the fields of Triton's messages; REST sends them as JSON, gRPC parses them into the messages.
"""

from __future__ import annotations

from typing import Any, Final

from atheria_contract.serving import ServingConfig
from atheria_server.core.errors import UnknownModelError, UnsupportedError
from atheria_server.core.infer import InferRequest
from atheria_server.core.request import PRIORITY_DEFAULT, PRIORITY_LOWEST
from atheria_server.core.statistics import Statistics, Total
from atheria_server.engine.service import VERSION, ModelService

PLATFORM: Final = "litserve"
READY: Final = "READY"
EXAMPLE_VALUES: Final = 1024
"""An example with more would hide the page that it is on."""
UNAVAILABLE: Final = "UNAVAILABLE"


class ModelInfo:
    """Of the one model."""

    def __init__(
        self, service: ModelService, config: ServingConfig, statistics: Statistics, api: Any
    ) -> None:
        """`api` is the model's LitAPI, whose warm-up calls are the examples."""
        self._service = service
        self._api = api
        self._config = config
        self._statistics = statistics

    def config(self, name: str, version: str) -> dict[str, Any]:
        """ModelConfig. Raises UnknownModelError.

        With `max_batch_size` > 0 the dims are without the batch dimension, as in Triton. A LitAPI that declares no
        tensors has none here either, and 0: its calls are batched whole, not by a dimension of a tensor.
        """
        service = self._service
        service.check_name(name, version)
        config = self._config
        return {
            "name": service.name,
            "platform": PLATFORM,
            "backend": PLATFORM,
            "max_batch_size": config.max_batch_size if service.described else 0,
            "input": [
                {**_tensor(spec), "optional": True} if spec.optional else _tensor(spec)
                for spec in service.metadata.inputs
            ],
            "output": [_tensor(spec) for spec in service.metadata.outputs],
            "dynamic_batching": {
                "max_queue_delay_microseconds": round(config.max_latency_seconds * 1e6),
                "priority_levels": PRIORITY_LOWEST,
                "default_priority_level": PRIORITY_DEFAULT,
            },
            "instance_group": [{"name": service.name, "count": config.workers}],
            "parameters": {
                "source": {"string_value": config.source},
                "max_queue_depth": {"string_value": str(config.max_queue_depth)},
                "max_message_bytes": {"string_value": str(config.max_message_bytes)},
            },
            "model_transaction_policy": {"decoupled": service.streams},
        }

    def statistics(self, name: str, version: str) -> dict[str, Any]:
        """ModelStatisticsResponse; an empty name means every model. Raises UnknownModelError."""
        if name:
            self._service.check_name(name, version)
        found = self._statistics
        stages = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
        return {
            "model_stats": [
                {
                    "name": self._service.name,
                    "version": VERSION,
                    "last_inference": round(found.last_inference_at * 1000),
                    "inference_count": found.inference_count,
                    "execution_count": found.execution_count,
                    "inference_stats": {stage: _total(getattr(found, stage)) for stage in stages},
                    "batch_stats": [
                        {"batch_size": rows, "compute_infer": _total(found.batches[rows])}
                        for rows in sorted(found.batches)
                    ],
                }
            ]
        }

    def index(self, repository: str, *, only_ready: bool) -> list[dict[str, str]]:
        """RepositoryIndex: the model, unless only ready ones are wanted and it is not. Raises UnknownModelError."""
        if repository:
            raise UnknownModelError(f"no repository {repository!r} here; leave the name empty")
        ready = self._service.ready
        if only_ready and not ready:
            return []
        return [
            {
                "name": self._service.name,
                "version": VERSION,
                "state": READY if ready else UNAVAILABLE,
                "reason": self._service.unready_reason,
            }
        ]

    def example(self) -> InferRequest | None:
        """A small call that the model answers; None for a LitAPI that declares no tensors, or if every call is large."""
        if not self._service.described:
            return None
        for call in self._api.warmup_calls(self._config.warmup_shapes, 1):
            if sum(array.size for array in call.inputs.values()) <= EXAMPLE_VALUES:
                return InferRequest(
                    model_name=self._service.name, inputs=call.inputs, parameters=call.parameters
                )
        return None

    @property
    def refused_path(self) -> str | None:
        """LitServe's own route, if it refuses every call because the model takes tensors."""
        return str(self._api.api_path) if self._service.described else None

    def refuse_change(self, verb: str) -> None:
        """Load and unload. Raises UnsupportedError in every case."""
        raise UnsupportedError(
            f"this server cannot {verb} models: it serves {self._service.name!r} from its start to its end; "
            "apply or delete an AtheriaModel, or start another atheria-server"
        )


def _tensor(spec: Any) -> dict[str, Any]:
    kind = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return {"name": spec.name, "data_type": f"TYPE_{kind}", "dims": list(spec.shape[1:])}


def _total(total: Total) -> dict[str, int]:
    return {"count": total.count, "ns": total.nanoseconds}
