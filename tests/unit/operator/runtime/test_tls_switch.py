"""Running models change to TLS when no gateway pod is left that could not call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from atheria_operator.domain.gateway_rollout import GATEWAY_VOLUME, grace_seconds, has_certificates
from atheria_operator.runtime.ports import ObjectRef
from atheria_operator.runtime.tls_switch import TlsSwitch, gateway_ref

SECRET = "r-pod-client"


def gateway(
    *,
    has_volume: bool = True,
    secret: str = SECRET,
    generation: int = 2,
    grace: int | None = 50,
    **status: int,
) -> dict[str, Any]:
    volume = {"name": GATEWAY_VOLUME, "secret": {"secretName": secret}}
    spec: dict[str, Any] = {"volumes": [volume] if has_volume else []}
    if grace is not None:
        spec["terminationGracePeriodSeconds"] = grace
    settled = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2}
    return {
        "metadata": {"generation": generation},
        "spec": {"template": {"spec": spec}},
        "status": settled | status,
    }


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (gateway(), True),
        (gateway(has_volume=False), False),
        # The release was changed to another mode, and its gateway pods are still those of the one before.
        (gateway(secret="r-pod-client-cert-manager"), False),
        (gateway(generation=3), False),
        (gateway(replicas=3), False),
        (gateway(updatedReplicas=1), False),
        (gateway(unavailableReplicas=1), False),
        ({**gateway(), "status": {}}, False),
        (gateway(replicas=0, updatedReplicas=0), True),
    ],
)
def test_every_pod_has_a_certificate_when_the_rollout_that_brings_it_has_ended(
    body: dict[str, Any], found: bool
) -> None:
    assert has_certificates(body, SECRET) is found


def test_a_pod_that_goes_has_the_time_that_its_deployment_says() -> None:
    assert (grace_seconds(gateway()), grace_seconds(gateway(grace=None))) == (50.0, 30.0)


class World:
    """The gateway's Deployment and a clock."""

    def __init__(self, *, for_models: bool = True) -> None:
        self.body: dict[str, Any] | None = None
        self.seconds = 0.0
        self.wakes = 0
        it: Any = self
        self.switch = TlsSwitch(
            it, it, gateway_ref("system", "r"), secret=SECRET, for_models=for_models, wake_all=self.wake
        )

    def wake(self) -> None:
        self.wakes += 1

    def monotonic_seconds(self) -> float:
        return self.seconds

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        assert (ref.kind, ref.namespace, ref.name) == ("Deployment", "system", "r-gateway")
        return self.body

    async def look(self, seconds: float, body: dict[str, Any] | None) -> bool:
        """Whether running models may change after a look at that time."""
        self.seconds, self.body = seconds, body
        await self.switch.look()
        return self.switch.wants(False)


async def test_it_opens_once_the_last_old_pod_has_had_its_time() -> None:
    world = World()
    assert not await world.look(0, gateway(has_volume=False))
    assert not await world.look(10, gateway(updatedReplicas=1))
    assert not await world.look(20, gateway())
    assert not await world.look(69, gateway())
    # An upgrade begins in between: counted anew.
    assert not await world.look(70, gateway(generation=3))
    assert not await world.look(80, gateway())
    assert world.wakes == 0
    assert await world.look(130, gateway())
    assert world.wakes == 1


async def test_without_a_gateway_there_is_nobody_to_wait_for() -> None:
    assert await World().look(0, None)


def test_new_models_and_those_that_speak_tls_already_do_not_wait() -> None:
    switch = World().switch
    assert [switch.wants(found) for found in (None, True, False)] == [True, True, False]


async def test_models_that_are_to_go_back_to_plain_text_never_want_it() -> None:
    world = World(for_models=False)
    assert not await world.look(0, None)
    assert not [found for found in (None, True, False) if world.switch.wants(found)]
