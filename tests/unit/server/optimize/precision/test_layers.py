"""Layers in fewer bytes: their sizes to the byte, their errors, and what they leave alone."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from atheria_contract.optimization import CalibrationConfig, PrecisionConfig
from atheria_server.core.precision import Capability, PrecisionError, plan_precision
from atheria_server.optimize.precision import (
    PrecisionReport,
    apply_precision,
    layers_of,
    nf4,
    weight_bytes,
)

CPU = Capability(kind="cpu", cpu_flags=frozenset({"avx512_bf16", "avx512_fp16"}), bitsandbytes="any")
PLAIN_CPU = Capability(kind="cpu", bitsandbytes="any")


def narrowed(
    network: nn.Module,
    policy: str,
    *,
    capability: Capability = CPU,
    observe: Callable[[], object] = lambda: None,
    compress_statistics: bool = False,
    compute: str = "fp32",
    calibration: str = "none",
    keep_fp32: tuple[str, ...] = (),
) -> PrecisionReport:
    modules = {"net": network}
    config = PrecisionConfig(
        policy=policy,
        compute=compute,
        keep_fp32=keep_fp32,
        calibration=CalibrationConfig(method=calibration),
    )
    plan = plan_precision(config, layers_of(modules), {}, capability)
    return apply_precision(
        modules, plan, device="cpu", observe=observe, compress_statistics=compress_statistics
    )


def linear(inputs: int = 256, outputs: int = 128) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, outputs)).requires_grad_(requires_grad=False)


def relative_error(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


def test_nf4_takes_four_bits_a_weight_and_a_float_a_block() -> None:
    network = linear()

    report = narrowed(network, "nf4")

    weights = 256 * 128
    wanted = weights // 2 + weights // 64 * 4 + 128 * 4
    assert report.weight_bytes_after == weight_bytes({"net": network}) == wanted
    assert 8 * (wanted - 128 * 4) / weights == 4.5


def test_compressed_statistics_take_a_byte_a_block() -> None:
    plain = narrowed(linear(1024, 1024), "nf4").weight_bytes_after
    compressed = narrowed(linear(1024, 1024), "nf4", compress_statistics=True).weight_bytes_after

    blocks = 1024 * 1024 // 64
    table_offset_and_scales = 256 * 4 + 4 + blocks // 256 * 4
    assert plain - compressed == blocks * 4 - (blocks + table_offset_and_scales)


def test_int8_takes_a_byte_a_weight_and_a_float_an_output() -> None:
    assert narrowed(linear(), "int8").weight_bytes_after == 256 * 128 + 128 * 4 + 128 * 4


@pytest.mark.parametrize("policy", ["bf16", "fp16"])
def test_sixteen_bits_take_half(policy: str) -> None:
    assert narrowed(linear(), policy).weight_bytes_after == (256 * 128 + 128) * 2


def test_the_report_counts_each_layer_before_and_after() -> None:
    network = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64))

    report = narrowed(network, "int8")

    assert [(one.name, one.precision, one.bytes_before, one.bytes_after) for one in report.layers] == [
        ("net.0", "int8", 64 * 64 * 4 + 256, 64 * 64 + 256 + 256),
        ("net.1", "fp32", 512, 512),
    ]
    assert report.layers[1].reason == "a LayerNorm stays as it is"
    assert report.weight_bytes_before == sum(one.bytes_before for one in report.layers)


@pytest.mark.parametrize(
    ("policy", "least", "most"),
    [("nf4", 0.07, 0.11), ("int8", 0.002, 0.01), ("bf16", 0.001, 0.005), ("fp16", 0.0001, 0.003)],
)
@pytest.mark.parametrize("capability", [CPU, PLAIN_CPU])
def test_the_error_of_a_random_linear_is_that_of_its_precision(
    policy: str, least: float, most: float, capability: Capability
) -> None:
    network = linear()
    values = torch.randn(512, 256)
    wanted = network(values)

    narrowed(network, policy, capability=capability)
    error = relative_error(network(values), wanted)

    assert least < error < most


@pytest.mark.parametrize("method", ["dynamic", "minmax", "percentile", "smoothquant"])
def test_rounding_activations_too_adds_about_as_much_again(method: str) -> None:
    network = linear()
    values = torch.randn(512, 256)
    wanted = network(values)

    narrowed(network, "int8", calibration=method, observe=lambda: network(values))

    assert relative_error(network(values), wanted) < 0.02


@pytest.mark.parametrize("policy", ["bf16", "fp16", "int8", "nf4"])
@pytest.mark.parametrize("capability", [CPU, PLAIN_CPU])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_layer_answers_in_the_type_it_is_asked_in(
    policy: str, capability: Capability, dtype: torch.dtype
) -> None:
    network = linear()

    narrowed(network, policy, capability=capability)

    assert network(torch.randn(3, 256, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("policy", ["int8", "nf4"])
def test_compute_says_which_type_the_product_is_in(policy: str) -> None:
    precise, coarse = linear(), linear()
    values = torch.randn(512, 256)

    narrowed(precise, policy)
    narrowed(coarse, policy, compute="bf16")

    assert 1e-4 < relative_error(coarse(values), precise(values)) < 1e-2


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv1d(8, 16, 3, padding=1),
        nn.Conv2d(8, 16, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(8, 16, 3, stride=2, groups=4),
        nn.Conv3d(8, 4, 2, bias=False),
    ],
    ids=["1d", "circular", "strided in groups", "3d"],
)
@pytest.mark.parametrize(("policy", "most"), [("int8", 0.01), ("bf16", 0.005)])
def test_a_quantised_convolution_stays_close(convolution: nn.Module, policy: str, most: float) -> None:
    network = nn.Sequential(copy.deepcopy(convolution)).requires_grad_(requires_grad=False)
    values = torch.randn(2, 8, *[8] * (len(convolution.kernel_size)))  # type: ignore[arg-type]
    wanted = network(values)

    report = narrowed(network, policy, capability=PLAIN_CPU)

    assert 0 < relative_error(network(values), wanted) < most
    assert report.weight_bytes_after < 0.75 * report.weight_bytes_before


def test_a_transposed_convolution_becomes_bf16() -> None:
    network = nn.Sequential(nn.ConvTranspose2d(4, 4, 2, stride=2)).requires_grad_(requires_grad=False)
    values = torch.randn(2, 4, 8, 8)
    wanted = network(values)

    narrowed(network, "bf16", capability=PLAIN_CPU)

    assert relative_error(network(values), wanted) < 0.01


@pytest.mark.filterwarnings(
    "ignore:invalid escape sequence"
)  # in a text of torchao's, when it is first compiled
def test_int8_convolutions_are_as_close_as_those_of_torchao() -> None:
    from torchao.quantization import IntxWeightOnlyConfig, PerAxis, quantize_

    torch.manual_seed(0)
    values = torch.randn(2, 16, 16, 16)
    ours = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1)).requires_grad_(requires_grad=False)
    theirs = copy.deepcopy(ours)
    wanted = ours(values)

    narrowed(ours, "int8")
    quantize_(
        theirs,
        IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0)),
        filter_fn=lambda module, _: isinstance(module, nn.Conv2d),
    )

    assert relative_error(ours(values), wanted) < 1.2 * relative_error(theirs(values), wanted)


def test_a_layer_without_bias_and_a_row_of_zeros_stay_exact() -> None:
    network = nn.Sequential(nn.Linear(64, 2, bias=False)).requires_grad_(requires_grad=False)
    network[0].weight[:] = torch.tensor([0.0, 127.0])[:, None]  # type: ignore[operator,index]

    narrowed(network, "int8")

    assert network(torch.ones(1, 64)).tolist() == [[0.0, 127.0 * 64]]


def test_a_layer_that_is_used_under_two_names_is_converted_once_and_replaced_at_both() -> None:
    shared = nn.Linear(64, 64)
    network = nn.Sequential(shared, nn.SiLU(), shared).requires_grad_(requires_grad=False)

    report = narrowed(network, "int8")

    assert network[0] is network[2]
    assert [one.name for one in report.layers] == ["net.0"]
    assert report.weight_bytes_after == 64 * 64 + 2 * 64 * 4


def test_a_storage_that_two_tensors_share_counts_once() -> None:
    first, second = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
    second.weight = first.weight

    assert weight_bytes({"a": first, "b": second}) == 64 * 64 * 4


def test_the_scales_of_a_models_own_bitsandbytes_layer_count_too() -> None:
    bitsandbytes = nf4.load_bitsandbytes()
    layer = bitsandbytes.nn.LinearNF4(256, 128, bias=False, compress_statistics=True).to("cpu")

    blocks = 256 * 128 // 64
    tables_and_offset = 16 * 4 + 256 * 4 + 4
    assert weight_bytes({"a": layer}) == 256 * 128 // 2 + blocks + blocks // 256 * 4 + tables_and_offset


def test_a_view_counts_the_whole_storage_that_it_keeps_alive() -> None:
    layer = nn.Linear(64, 64, bias=False)
    layer.weight = nn.Parameter(torch.zeros(128, 64)[:64])

    assert weight_bytes({"a": layer}) == 128 * 64 * 4


def test_converting_to_bf16_leaves_a_parameter_alone_that_something_else_uses_too() -> None:
    embedding, head = nn.Embedding(64, 64), nn.Linear(64, 64, bias=False)
    head.weight = embedding.weight
    network = nn.Sequential(embedding, head).requires_grad_(requires_grad=False)

    narrowed(network, "bf16")

    assert embedding.weight.dtype == torch.float32


def test_a_transformer_layer_calls_its_converted_layers() -> None:
    network = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True).eval()
    network.requires_grad_(requires_grad=False)
    values = torch.randn(2, 4, 32)
    wanted = network(values)

    report = narrowed(network, "int8")

    assert {one.name for one in report.layers if one.precision == "int8"} == {"net.linear1", "net.linear2"}
    assert 0 < relative_error(network(values), wanted) < 0.02


def test_weights_on_another_device_are_refused_with_what_to_do() -> None:
    network = nn.Sequential(nn.Linear(8, 8, device="meta"))

    with pytest.raises(PrecisionError, match=r"net.0 is on meta and not on cpu; move the model in setup"):
        narrowed(network, "int8")


@pytest.mark.parametrize("policy", ["bf16", "int8", "nf4"])
def test_converted_layers_can_be_compiled_whole(policy: str) -> None:
    network = linear()
    values = torch.randn(8, 256)
    narrowed(network, policy)

    with torch.inference_mode():
        compiled = torch.compile(network, fullgraph=True, backend="eager")
        assert torch.equal(compiled(values), network(values))
