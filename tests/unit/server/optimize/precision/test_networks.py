"""Networks, layers and groups of a LitAPI, with and without its own words for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from atheria_server.optimize.precision import groups_of, layers_of, modules_of


class Plain:
    """A LitAPI that says nothing of its networks."""

    def __init__(self) -> None:
        self.name = "plain"
        self.net = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        )
        self.head = nn.Linear(4, 2)


class Named(Plain):
    """One that does."""

    def modules(self) -> Mapping[str, nn.Module]:
        return {"model": self.net}

    def module_groups(self) -> Mapping[str, Sequence[str]]:
        return {"encoder": ["model.0"], "backbone": ["model.[23]"], "head": ["model.4"]}


def test_networks_are_the_attributes_that_are_modules_unless_the_api_names_them() -> None:
    assert list(modules_of(Plain())) == ["net", "head"]
    assert list(modules_of(Named())) == ["model"]


def test_without_words_of_the_api_the_first_layer_is_the_encoder_and_the_last_the_head() -> None:
    api = Plain()
    network = {"net": api.net}

    assert groups_of(api, network) == {
        "encoder": ["net.0"],
        "backbone": ["net.2", "net.3"],
        "head": ["net.4"],
    }


def test_a_network_of_one_layer_is_an_encoder() -> None:
    api = Plain()

    assert groups_of(api, {"head": api.head}) == {"encoder": ["head"], "backbone": [], "head": []}


def test_the_apis_own_groups_are_taken() -> None:
    api = Named()

    assert groups_of(api, modules_of(api))["backbone"] == ("model.[23]",)


def test_layers_are_the_modules_with_weights_and_their_sizes_are_counted() -> None:
    found = layers_of(modules_of(Plain()))

    assert [(one.name, one.kind, one.in_features, one.out_features, one.weight_bytes) for one in found] == [
        ("net.0", "Conv2d", 1, 2, (18 + 2) * 4),
        ("net.1", "GroupNorm", 0, 0, 16),
        ("net.2", "Linear", 8, 8, 288),
        ("net.3", "Linear", 8, 8, 288),
        ("net.4", "Linear", 8, 4, 144),
        ("head", "Linear", 4, 2, 40),
    ]


def test_a_network_that_is_one_layer_says_that_it_cannot_replace_itself() -> None:
    found = {one.name: one.fixed for one in layers_of(modules_of(Plain()))}

    assert "put it into an nn.Sequential" in found["head"]
    assert found["net.2"] == ""


def test_a_class_that_only_shares_the_name_of_a_layer_is_left_alone() -> None:
    class Linear(nn.Linear):
        pass

    (found,) = layers_of({"net": nn.Sequential(Linear(2, 2))})

    assert "a class of the model's own" in found.fixed


def test_a_layer_within_two_networks_is_found_once() -> None:
    shared = nn.Linear(2, 2)

    assert [one.name for one in layers_of({"a": nn.Sequential(shared), "b": nn.Sequential(shared)})] == [
        "a.0"
    ]
