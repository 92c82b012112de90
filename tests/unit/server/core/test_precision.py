"""The plan of precisions: what each layer gets, and the words of every refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atheria_contract.optimization import POLICIES, PRECISIONS, CalibrationConfig, PrecisionConfig
from atheria_server.core.precision import (
    Capability,
    Layer,
    PrecisionError,
    PrecisionPlan,
    plan_precision,
)

CPU = Capability(
    kind="cpu",
    name="test",
    cpu_flags=frozenset({"avx512_bf16", "avx512_fp16"}),
    bitsandbytes="0.50.2",
    torch="2.15.0",
)
L4 = Capability(kind="cuda", name="L4", sm=(8, 9), bitsandbytes="0.50.2")
T4 = replace(L4, name="T4", sm=(7, 5))
P100 = replace(L4, name="P100", sm=(6, 0))
GROUPS = {"encoder": ("law.first",), "backbone": ("law.middle.*",), "head": ("law.last",)}


def layer(name: str, kind: str = "Linear", inputs: int = 64, outputs: int = 64, fixed: str = "") -> Layer:
    return Layer(
        name=name,
        kind=kind,
        in_features=inputs,
        out_features=outputs,
        weight_bytes=4 * inputs * outputs,
        fixed=fixed,
    )


LAYERS = (
    layer("law.first", inputs=68),
    layer("law.middle.0"),
    layer("law.middle.1"),
    layer("law.norm", "LayerNorm", inputs=0, outputs=0),
    layer("law.last"),
)


def plan(
    policy: str, layers: tuple[Layer, ...] = LAYERS, capability: Capability = CPU, **fields: object
) -> PrecisionPlan:
    return plan_precision(PrecisionConfig(policy=policy, **fields), layers, GROUPS, capability)  # type: ignore[arg-type]


def by_name(made: PrecisionPlan) -> dict[str, str]:
    return {one.name: one.precision for one in made.layers}


@pytest.mark.parametrize("policy", ["bf16", "fp16", "int8", "nf4"])
def test_a_policy_of_one_precision_covers_every_linear_and_no_norm(policy: str) -> None:
    assert by_name(plan(policy)) == {
        "law.first": policy,
        "law.middle.0": policy,
        "law.middle.1": policy,
        "law.norm": "fp32",
        "law.last": policy,
    }


def test_a_layer_that_stays_although_the_policy_would_change_it_says_why() -> None:
    reasons = {one.name: one.reason for one in plan("int8", keep_fp32=("law.l*",)).layers}

    assert reasons["law.norm"] == "a LayerNorm stays as it is"
    assert reasons["law.last"] == "keepFp32"
    assert reasons["law.first"] == ""


def test_hierarchy_gives_each_group_its_precision() -> None:
    made = plan("hierarchy", encoder="int8", backbone="nf4", head="bf16")

    assert by_name(made) == {
        "law.first": "int8",
        "law.middle.0": "nf4",
        "law.middle.1": "nf4",
        "law.norm": "fp32",
        "law.last": "bf16",
    }


def test_a_name_belongs_to_the_first_group_that_matches_it() -> None:
    groups = {"encoder": ("law.middle.0",), "backbone": ("law.middle.*",), "head": ("law.last",)}

    made = plan_precision(PrecisionConfig(policy="hierarchy"), LAYERS, groups, CPU)

    assert {one.name: one.group for one in made.layers} == {
        "law.first": "",
        "law.middle.0": "encoder",
        "law.middle.1": "backbone",
        "law.norm": "",
        "law.last": "head",
    }
    assert by_name(made)["law.first"] == "fp32"
    assert any("in no group" in note and "law.first" in note for note in made.notes)


def test_a_group_without_layers_is_refused_with_the_groups_that_there_are() -> None:
    with pytest.raises(PrecisionError) as caught:
        plan_precision(
            PrecisionConfig(policy="hierarchy"),
            LAYERS,
            {"encoder": ("law.first",), "head": ("law.last",)},
            CPU,
        )

    text = str(caught.value)
    assert "gives group backbone precision nf4, but it has no layers" in text
    assert "encoder: law.first" in text
    assert "head: law.last" in text
    assert "int8" in text


def test_a_group_of_norms_alone_is_a_group_without_layers() -> None:
    groups = {**GROUPS, "backbone": ("law.norm",)}

    with pytest.raises(PrecisionError, match=r"group backbone precision nf4, but it has no layers"):
        plan_precision(PrecisionConfig(policy="hierarchy"), LAYERS, groups, CPU)


def test_a_group_of_another_name_is_refused() -> None:
    with pytest.raises(PrecisionError, match=r"names group 'decoder'; allowed: encoder, backbone, head"):
        plan_precision(PrecisionConfig(policy="hierarchy"), LAYERS, {**GROUPS, "decoder": ("law.norm",)}, CPU)


@pytest.mark.parametrize("policy", ["bf16", "int8", "nf4"])
def test_what_is_critical_to_the_model_stays_where_one_precision_is_asked_for_throughout(policy: str) -> None:
    made = plan_precision(PrecisionConfig(policy=policy), LAYERS, GROUPS, CPU, ("law.last",))
    assert by_name(made)["law.last"] == "fp32"
    assert by_name(made)["law.first"] == policy
    assert next(one.reason for one in made.layers if one.name == "law.last") == "critical to this model"


def test_a_group_of_its_own_decides_over_what_is_critical() -> None:
    made = plan_precision(
        PrecisionConfig(policy="hierarchy", head="int8"), LAYERS, GROUPS, CPU, ("law.last",)
    )
    assert by_name(made)["law.last"] == "int8"


def test_a_critical_pattern_that_matches_nothing_is_the_models_mistake() -> None:
    with pytest.raises(
        PrecisionError, match=r"critical_layers pattern 'law.lost' matches no layer; near names: law.last"
    ):
        plan_precision(PrecisionConfig(policy="int8"), LAYERS, GROUPS, CPU, ("law.lost",))


def test_a_keep_pattern_that_matches_nothing_is_refused_with_near_names() -> None:
    with pytest.raises(PrecisionError, match=r"'law.lats' matches no layer; near names: law.last"):
        plan("int8", keep_fp32=("law.lats",))


def test_a_keep_pattern_that_matches_nothing_is_refused_for_fp32_too() -> None:
    with pytest.raises(PrecisionError, match=r"matches no layer"):
        plan("fp32", keep_fp32=("nothing",))


@pytest.mark.parametrize("kind", ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d"])
def test_nf4_on_a_convolution_is_refused_with_the_alternative(kind: str) -> None:
    with pytest.raises(
        PrecisionError, match=f"nf4 is for Linear, but law.conv is a {kind}; use int8 or keepFp32"
    ):
        plan("nf4", (layer("law.conv", kind),))


def test_nf4_goes_on_where_the_convolution_is_kept() -> None:
    made = plan("nf4", (layer("law.conv", "Conv2d"), layer("law.linear")), keep_fp32=("law.conv",))

    assert by_name(made) == {"law.conv": "fp32", "law.linear": "nf4"}


def test_int8_on_a_convolution_is_planned() -> None:
    assert by_name(plan("int8", (layer("law.conv", "Conv2d"),))) == {"law.conv": "int8"}


def test_int8_on_a_transposed_convolution_is_refused_with_the_alternative() -> None:
    with pytest.raises(PrecisionError, match=r"law.up is a ConvTranspose2d; use bf16 or keepFp32"):
        plan("int8", (layer("law.up", "ConvTranspose2d"),))


def test_nf4_without_bitsandbytes_names_the_extra_and_bf16() -> None:
    with pytest.raises(PrecisionError, match=r"install the extra optimize .* or use bf16"):
        plan("nf4", capability=replace(CPU, bitsandbytes=""))


def test_int8_weights_need_no_bitsandbytes() -> None:
    assert plan("int8", capability=replace(CPU, bitsandbytes="")).changes


@pytest.mark.parametrize("method", ["dynamic", "assumed", "minmax", "percentile", "smoothquant"])
def test_int8_activations_without_bitsandbytes_name_the_extra_and_the_alternative(method: str) -> None:
    with pytest.raises(PrecisionError, match=r"install the extra optimize .* or set calibration method none"):
        plan(
            "int8",
            capability=replace(CPU, bitsandbytes=""),
            calibration=CalibrationConfig(method=method),
        )


def test_int8_activations_on_an_old_gpu_are_refused_with_its_generation() -> None:
    with pytest.raises(PrecisionError, match=r"SM 7.5 or newer, and this is cuda \(P100, SM 6.0\)"):
        plan("int8", capability=P100, calibration=CalibrationConfig(method="minmax"))


def test_bf16_on_an_old_gpu_is_refused_with_fp16_as_the_alternative() -> None:
    with pytest.raises(PrecisionError, match=r"bf16 needs a GPU of SM 8.0 .*T4, SM 7.5\); use fp16"):
        plan("bf16", capability=T4)


def test_computing_in_bf16_on_an_old_gpu_is_refused_with_the_alternative() -> None:
    with pytest.raises(PrecisionError, match=r"compute bf16 needs a GPU of SM 8.0 .*; use compute fp16"):
        plan("nf4", capability=T4, compute="bf16")


def test_bf16_on_a_new_gpu_needs_no_note() -> None:
    assert plan("bf16", capability=L4).notes == ()


@pytest.mark.parametrize("policy", ["bf16", "fp16"])
def test_a_cpu_without_instructions_expands_the_weights_and_says_so(policy: str) -> None:
    made = plan(policy, capability=replace(CPU, cpu_flags=frozenset({"avx2"})))

    assert policy in made.expanded
    assert any(f"{policy} saves weight bytes and not time here" in note for note in made.notes)
    assert policy not in plan(policy).expanded


def test_computing_in_bf16_on_a_cpu_without_it_is_noted_as_slower() -> None:
    made = plan("int8", capability=replace(CPU, cpu_flags=frozenset()), compute="bf16")

    assert any("compute bf16 is slower than fp32 here" in note for note in made.notes)


def test_nf4_notes_the_layers_whose_blocks_reach_across_rows() -> None:
    notes = plan("nf4").notes

    assert any("law.first" in note and "64" in note and "law.last" not in note for note in notes)


@pytest.mark.parametrize("policy", ["fp8", "fp8_e4m3"])
def test_fp8_is_refused_with_what_it_needs_and_int8_as_the_alternative(policy: str) -> None:
    with pytest.raises(PrecisionError, match=r"fp8 is not offered .*SM 8.9.* use int8"):
        plan(policy)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"policy": "int3"}, "policy is 'int3'; allowed: fp32, bf16, fp16, int8, nf4, hierarchy"),
        ({"policy": "hierarchy", "head": "int2"}, "head is 'int2'; allowed: fp32, bf16, fp16, int8, nf4"),
        ({"policy": "int8", "compute": "int8"}, "compute is 'int8'; allowed: fp32, bf16, fp16"),
        (
            {"policy": "int8", "calibration": CalibrationConfig(method="max")},
            "calibration method is 'max'; allowed: none",
        ),
        ({"policy": "auto"}, "auto is a search"),
    ],
)
def test_unknown_words_are_refused_with_those_that_are_allowed(fields: dict[str, str], words: str) -> None:
    with pytest.raises(PrecisionError) as caught:
        plan_precision(PrecisionConfig(**fields), LAYERS, GROUPS, CPU)  # type: ignore[arg-type]

    assert words in str(caught.value)


@pytest.mark.parametrize("policy", ["bf16", "nf4"])
def test_calibration_without_an_int8_linear_is_refused(policy: str) -> None:
    with pytest.raises(PrecisionError, match=r"set calibration method none, or use policy int8"):
        plan(policy, calibration=CalibrationConfig(method="minmax"))


def test_calibration_of_convolutions_alone_is_refused() -> None:
    with pytest.raises(PrecisionError, match=r"for the activations of int8 Linear layers"):
        plan("int8", (layer("law.conv", "Conv2d"),), calibration=CalibrationConfig(method="minmax"))


def test_calibration_beside_convolutions_notes_that_these_round_weights_alone() -> None:
    made = plan(
        "int8",
        (layer("law.conv", "Conv2d"), layer("law.linear")),
        calibration=CalibrationConfig(method="minmax"),
    )

    assert made.needs_observation
    assert any("law.conv" in note and "weights alone" in note for note in made.notes)


def test_a_model_without_layers_is_refused_except_for_fp32() -> None:
    assert not plan("fp32", ()).changes
    with pytest.raises(PrecisionError, match=r"changes no layer .*no Linear and no convolution.*; use fp32"):
        plan("int8", ())


def test_a_network_that_is_one_layer_is_refused_with_how_to_change_it() -> None:
    with pytest.raises(PrecisionError, match=r"put it into an nn.Sequential"):
        plan("int8", (layer("net", fixed="net is a whole network; put it into an nn.Sequential"),))


names = st.text("abc.", min_size=1, max_size=8)
layers = st.lists(
    st.builds(
        Layer,
        name=names,
        kind=st.sampled_from(["Linear", "Conv2d", "ConvTranspose2d", "LayerNorm"]),
        in_features=st.integers(1, 256),
        out_features=st.integers(1, 256),
        weight_bytes=st.integers(0, 10**6),
    ),
    max_size=6,
    unique_by=lambda one: one.name,
)
configs = st.builds(
    PrecisionConfig,
    policy=st.sampled_from(POLICIES),
    encoder=st.sampled_from(PRECISIONS),
    backbone=st.sampled_from(PRECISIONS),
    head=st.sampled_from(PRECISIONS),
    keep_fp32=st.lists(names.map(lambda name: f"{name[0]}*"), max_size=2).map(tuple),
    calibration=st.builds(CalibrationConfig, method=st.sampled_from(["none", "minmax", "dynamic"])),
)
patterns = st.dictionaries(
    st.sampled_from(["encoder", "backbone", "head"]), st.lists(names.map(lambda n: f"{n[0]}*"), max_size=2)
)


@given(configs, layers, patterns, st.sampled_from([CPU, L4, T4, P100]))
def test_a_plan_is_a_pure_function_that_plans_every_layer_once_or_refuses(
    config: PrecisionConfig, given_layers: list[Layer], groups: dict[str, list[str]], capability: Capability
) -> None:
    def planned() -> PrecisionPlan | str:
        try:
            return plan_precision(config, given_layers, groups, capability)
        except PrecisionError as error:
            return str(error)

    first = planned()

    assert first == planned()
    if isinstance(first, PrecisionPlan):
        assert [one.layer for one in first.layers] == given_layers
        assert all(one.precision in PRECISIONS for one in first.layers)
        assert all(one.layer.kind == "Linear" for one in first.layers if one.precision == "nf4")
        assert all(one.layer.kind != "LayerNorm" for one in first.layers if one.precision != "fp32")
    else:
        assert first
