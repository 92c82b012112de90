"""GPU: whether the devices that models hold are used. From NVIDIA's DCGM exporter, where there is one."""

from __future__ import annotations

from typing import Final

from atheria_contract import names
from tools.dashboards.board import Board, Section, variable
from tools.dashboards.panels import Look, Panel, Query, stat, timeseries
from tools.dashboards.queries import ONE_NAMESPACE, selected, total
from tools.dashboards.variables import NAMESPACES

_NODE: Final = 'Hostname=~"$node"'
_BY: Final = "Hostname, gpu"
_LEGEND: Final = "{{Hostname}} GPU {{gpu}}"
_ABSENT: Final = "no DCGM exporter is scraped"
_NODES: Final = variable("node", "Node", "label_values(DCGM_FI_DEV_FB_USED, Hostname)", has_all=True)


def _gpus(title: str, description: str, unit: str, metric: str, *, highest: float | None = None) -> Panel:
    """A line for each device; MIG slices of one are its largest."""
    return timeseries(
        title,
        description,
        Look(unit=unit, empty=_ABSENT, highest=highest),
        Query(expr=f"max by ({_BY}) ({selected(metric, _NODE)})", legend=_LEGEND),
    )


def _by_model(title: str, description: str, unit: str, metric: str, *, highest: float) -> Panel:
    """A line for each model: the mean of the devices that its pods hold. The exporter names the pod that holds a device `pod`, or `exported_pod`
    where the scraper keeps `pod` for the exporter's own; which model a pod is of, its server says."""
    series = selected(metric, _NODE)
    for label in ("namespace", "pod"):
        series = f'label_replace({series}, "{label}", "$1", "exported_{label}", "(.+)")'
    models = f"max by (namespace, pod, model) ({selected(names.METRIC_READY, ONE_NAMESPACE)} >= bool 0)"
    expr = f"avg by (namespace, model) (max by (namespace, pod, {_BY}) ({series}) * on (namespace, pod) group_left (model) {models})"
    return timeseries(
        title,
        description,
        Look(unit=unit, empty=_ABSENT, highest=highest),
        Query(expr=expr, legend="{{namespace}}/{{model}}"),
        width=12,
    )


_HELD: Final = Section(
    title="Held by models",
    panels=(
        timeseries(
            "Devices by model",
            "Devices that the pods of each model hold, as the operator counts them. Needs no DCGM.",
            Look(unit="short"),
            Query(
                expr=total(names.METRIC_MODEL_DEVICES, ONE_NAMESPACE, by="namespace, model, profile"),
                legend="{{namespace}}/{{model}} on {{profile}}",
            ),
            width=12,
            is_stacked=True,
        ),
        stat(
            "GPUs seen",
            "Devices that the DCGM exporter tells of, held by models or not.",
            Look(unit="short", empty=_ABSENT),
            Query(expr=f"count(count by ({_BY}) ({selected('DCGM_FI_DEV_FB_USED', _NODE)}))"),
            width=6,
            height=8,
        ),
        stat(
            "GPUs without work",
            "Devices that were busy for less than 5 % of the time: paid for and idle.",
            Look(unit="short", empty=_ABSENT),
            Query(
                expr=f"sum(max by ({_BY}) (avg_over_time({selected('DCGM_FI_DEV_GPU_UTIL', _NODE)}[5m])) < bool 5)"
            ),
            width=6,
            height=8,
        ),
        _by_model(
            "Busy by model",
            "Part of the time in which the devices of a model's pods ran a kernel. MIG slices have no such figure.",
            "percent",
            "DCGM_FI_DEV_GPU_UTIL",
            highest=100,
        ),
        _by_model(
            "Tensor cores by model",
            "Part of the cycles in which the tensor pipe of a model's devices worked: low while busy means small batches or fp32.",
            "percentunit",
            "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
            highest=1,
        ),
    ),
)

_USE: Final = Section(
    title="Use (DCGM)",
    panels=(
        _gpus(
            "Busy",
            "Part of the time in which at least one kernel ran. High with little tensor activity: batches are too small.",
            "percent",
            "DCGM_FI_DEV_GPU_UTIL",
            highest=100,
        ),
        _gpus(
            "Memory in use",
            "Frame buffer that is taken: weights, batches and what PyTorch keeps.",
            "mbytes",
            "DCGM_FI_DEV_FB_USED",
        ),
        _gpus(
            "Memory left",
            "Frame buffer that is free: room for another worker or a larger batch.",
            "mbytes",
            "DCGM_FI_DEV_FB_FREE",
        ),
        _gpus(
            "Tensor cores active",
            "Part of the cycles in which the tensor pipe worked. A profiling metric of DCGM that has to be switched on in its exporter.",
            "percentunit",
            "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
            highest=1,
        ),
        _gpus(
            "Graphics engine active",
            "Part of the time in which the engine worked; unlike Busy it is right for MIG slices. A profiling metric too.",
            "percentunit",
            "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
            highest=1,
        ),
        _gpus(
            "Memory interface active",
            "Part of the cycles in which data moved to or from device memory: near 1 the model is bound by memory. Profiling too.",
            "percentunit",
            "DCGM_FI_PROF_DRAM_ACTIVE",
            highest=1,
        ),
    ),
)

_HEALTH: Final = Section(
    title="Health (DCGM)",
    panels=(
        _gpus("Temperature", "Of the device.", "celsius", "DCGM_FI_DEV_GPU_TEMP"),
        _gpus("Power", "What the device draws.", "watt", "DCGM_FI_DEV_POWER_USAGE"),
        _gpus(
            "Last XID error",
            "Number of the driver's last error on the device, 0 = none. NVIDIA lists what each means; 79 is a device that fell off the bus.",
            "none",
            "DCGM_FI_DEV_XID_ERRORS",
        ),
    ),
)

GPU: Final = Board(
    uid="atheria-gpu",
    title="Atheria / GPU",
    description="Whether the devices that models hold are used. Needs NVIDIA's DCGM exporter but for the first panel.",
    sections=(_HELD, _USE, _HEALTH),
    variables=(NAMESPACES, _NODES),
)
