"""The operator's own authority over a cluster in memory, through days and years."""

from __future__ import annotations

import base64
import copy
import logging
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock

import pytest

from atheria_contract import names
from atheria_operator.adapters.authority import P256Issuer
from atheria_operator.api.model import ModelIntent, Problem
from atheria_operator.domain.certificates.stored import (
    ANNOTATION_ENDS,
    Issued,
    read_authority_secret,
    read_issue,
)
from atheria_operator.domain.desired.ownership import NAME_CONFLICT
from atheria_operator.runtime.own_authority import LOOK_SECONDS, OwnAuthority
from atheria_operator.runtime.ports import ClusterError, ObjectRef

DAY = 86_400.0
SYSTEM = "atheria-system"
AUTHORITY, CLIENT, MODEL = (SYSTEM, "r-pod-authority"), (SYSTEM, "r-pod-client"), ("demo", "qca-pod-tls")
Intents = Callable[..., ModelIntent]


class Cluster:
    """Secrets in memory; what is read is never what the operator may not read."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], dict[str, Any]] = {}
        self.looks = 0
        self.version = 0
        for namespace, name in (AUTHORITY, CLIENT):
            self.put(namespace, name)

    def put(self, namespace: str, name: str, **body: Any) -> None:
        self.version += 1
        metadata = {"name": name, "namespace": namespace, "resourceVersion": str(self.version)}
        self.secrets[namespace, name] = {"metadata": metadata, **body}

    async def read(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        assert ref.namespace == SYSTEM, "the operator has no right to read others"
        return copy.deepcopy(self.secrets.get((ref.namespace, ref.name)))

    async def look(self, ref: ObjectRef) -> Mapping[str, Any] | None:
        self.looks += 1
        found = self.secrets.get((ref.namespace, ref.name))
        return None if found is None else copy.deepcopy(found["metadata"])

    async def apply(self, body: Mapping[str, Any], *, manager: str) -> Mapping[str, Any]:
        assert manager == names.FIELD_MANAGER_OPERATOR
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        expected = body["metadata"].get("resourceVersion")
        if expected and expected != self.secrets[key]["metadata"]["resourceVersion"]:
            raise ClusterError(409, "somebody else wrote meanwhile")
        self.version += 1
        stored = copy.deepcopy(dict(body))
        stored["metadata"]["resourceVersion"] = str(self.version)
        fields = {f"f:{name}": {} for name in body.get("data") or {}}
        stored["metadata"]["managedFields"] = [{"manager": manager, "fieldsV1": {"f:data": fields}}]
        self.secrets[key] = stored
        return stored


class World:
    """An operator that may be started again, its clock, and what it shows to pods."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.now_seconds = 1_900_000_000.0
        self.shown: list[Issued] = []
        self.wakes = 0
        self.start()

    def start(self) -> None:
        cluster: Any = self.cluster
        clock: Any = self
        self.authority = OwnAuthority(
            cluster,
            clock,
            P256Issuer(),
            namespace=SYSTEM,
            name="r",
            take=self.shown.append,
            wants=lambda serves: serves is not False,
            wake_all=self.wake,
        )

    def wake(self) -> None:
        self.wakes += 1

    def now(self) -> str:
        return datetime.fromtimestamp(self.now_seconds, UTC).isoformat()

    def monotonic_seconds(self) -> float:
        return self.now_seconds

    def data(self, key: tuple[str, str]) -> dict[str, str]:
        return dict(self.cluster.secrets[key].get("data") or {})


async def test_a_model_waits_for_the_authority_and_a_secret_that_the_chart_did_not_make_is_told(
    intent: Intents,
) -> None:
    world = World()
    with pytest.raises(ClusterError, match="not there yet"):
        await world.authority.keep(intent())
    del world.cluster.secrets[AUTHORITY]
    with pytest.raises(ClusterError, match="upgrade the release"):
        await world.authority.look()


async def test_what_is_there_stays_through_looks_and_restarts_and_models_are_woken_once(
    intent: Intents,
) -> None:
    world = World()
    for _ in range(3):
        await world.authority.look()
        assert await world.authority.keep(intent()) is None
        world.now_seconds += 60
    assert (world.wakes, len(world.shown), world.cluster.looks) == (1, 1, 1)
    before = copy.deepcopy(world.cluster.secrets)
    world.start()
    await world.authority.look()
    assert await world.authority.keep(intent()) is None
    assert world.cluster.secrets == before
    # A running operator looks at what it made from time to time.
    world.now_seconds += LOOK_SECONDS
    del world.cluster.secrets[MODEL]
    assert await world.authority.keep(intent()) is None
    assert world.data(MODEL)


async def test_a_certificate_is_renewed_a_month_before_it_ends(intent: Intents) -> None:
    world = World()
    await world.authority.look()
    await world.authority.keep(intent())
    first, client = world.data(MODEL), world.data(CLIENT)
    world.now_seconds += 59 * DAY
    await world.authority.look()
    await world.authority.keep(intent())
    assert (world.data(MODEL), world.data(CLIENT)) == (first, client)
    world.now_seconds += 2 * DAY
    await world.authority.look()
    await world.authority.keep(intent())
    renewed = world.data(MODEL)
    assert renewed[names.TLS_KEY_FILE] != first[names.TLS_KEY_FILE]
    assert renewed[names.TLS_CA_FILE] == first[names.TLS_CA_FILE]
    assert world.data(CLIENT) != client
    assert len(world.shown) == 2
    ends = world.authority.ends_seconds()
    assert ends is not None
    assert ends - world.now_seconds == pytest.approx(90 * DAY)


async def test_at_a_change_of_the_authority_everybody_trusts_both_before_the_new_one_signs(
    intent: Intents,
) -> None:
    world = World()
    bundles: list[str] = []
    signers: list[str] = []
    issuer = P256Issuer()
    for _ in range(2 * 366):
        await world.authority.look()
        await world.authority.keep(intent())
        data = world.data(MODEL)
        assert data[names.TLS_CA_FILE] == world.data(CLIENT)[names.TLS_CA_FILE]
        found = read_issue(world.cluster.secrets[MODEL]["metadata"])
        assert found is not None
        assert found.ends_seconds - world.now_seconds >= 29 * DAY
        if not bundles or bundles[-1] != data[names.TLS_CA_FILE]:
            bundles.append(data[names.TLS_CA_FILE])
        pairs = read_authority_secret(world.cluster.secrets[AUTHORITY])
        assert 1 <= len(pairs) <= 2
        for name, pair in pairs.items():
            assert issuer.term(name, pair.certificate).ends_seconds > world.now_seconds
        signers.append(max(pairs))
        world.now_seconds += DAY
    # One, both, the second alone, both, the third alone.
    assert len(bundles) == 5
    assert len(set(signers)) == 3
    assert world.wakes == 5


async def test_another_writer_wins_and_the_next_look_takes_what_it_wrote(
    intent: Intents, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, other = World(), World()
    other.cluster = world.cluster
    other.start()
    read = Cluster.read

    async def read_and_be_overtaken(self: Cluster, ref: ObjectRef) -> Mapping[str, Any] | None:
        found = await read(self, ref)
        monkeypatch.setattr(Cluster, "read", read)
        await other.authority.look()
        return found

    monkeypatch.setattr(Cluster, "read", read_and_be_overtaken)
    with pytest.raises(ClusterError, match="somebody else"):
        await world.authority.look()
    await world.authority.look()
    assert len(read_authority_secret(world.cluster.secrets[AUTHORITY])) == 1
    assert world.shown[-1].authorities == other.shown[-1].authorities


async def test_somebody_elses_secret_is_left_alone(intent: Intents) -> None:
    world = World()
    await world.authority.look()
    world.cluster.put(*MODEL, data={"password": "bWluZQ=="})
    problem = await world.authority.keep(intent())
    assert isinstance(problem, Problem)
    assert problem.reason == NAME_CONFLICT
    assert world.data(MODEL) == {"password": "bWluZQ=="}
    owner = {"kind": names.MODEL_KIND, "name": "qca", "uid": "of one that was deleted"}
    world.cluster.secrets[MODEL]["metadata"]["ownerReferences"] = [owner]
    with pytest.raises(ClusterError, match="still goes with a model that was deleted"):
        await world.authority.keep(intent())


async def test_an_emptied_secret_and_a_lost_annotation_are_put_right(intent: Intents) -> None:
    world = World()
    await world.authority.look()
    await world.authority.keep(intent())
    first = world.data(MODEL)
    del world.cluster.secrets[CLIENT]["data"]
    del world.cluster.secrets[MODEL]["metadata"]["annotations"][ANNOTATION_ENDS]
    world.now_seconds += LOOK_SECONDS
    await world.authority.look()
    await world.authority.keep(intent())
    assert world.data(CLIENT)
    assert world.data(MODEL) != first


@pytest.mark.parametrize("name", [names.TLS_CERT_FILE, names.TLS_KEY_FILE, names.TLS_CA_FILE])
async def test_a_secret_that_lost_one_of_its_three_entries_is_made_again(intent: Intents, name: str) -> None:
    world = World()
    await world.authority.look()
    await world.authority.keep(intent())
    before = world.data(MODEL)
    for key in (CLIENT, MODEL):
        del world.cluster.secrets[key]["data"][name]
    del world.cluster.secrets[MODEL]["metadata"]["managedFields"][0]["fieldsV1"]["f:data"][f"f:{name}"]
    world.now_seconds += LOOK_SECONDS
    await world.authority.look()
    await world.authority.keep(intent())
    for key in (CLIENT, MODEL):
        assert name in world.data(key)
    assert world.data(MODEL)[names.TLS_KEY_FILE] != before[names.TLS_KEY_FILE]


async def test_other_authorities_than_ours_do_not_stay_in_the_gateways_secret() -> None:
    world = World()
    await world.authority.look()
    before = world.data(CLIENT)
    world.cluster.secrets[CLIENT]["data"][names.TLS_CA_FILE] = "Zm9yZWlnbg=="
    await world.authority.look()
    assert world.data(CLIENT)[names.TLS_CA_FILE] == before[names.TLS_CA_FILE]


async def test_models_are_woken_for_a_new_authority_though_the_gateways_secret_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    with monkeypatch.context() as patched:
        kept = AsyncMock(side_effect=ClusterError(500, "a moment, please"))
        patched.setattr(world.authority, "_keep_client", kept)
        with pytest.raises(ClusterError, match="a moment"):
            await world.authority.look()
    await world.authority.look()
    assert world.wakes == 1


@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "garbage"])
async def test_without_an_authority_a_restarted_operator_goes_on_with_certificates_that_last(
    intent: Intents, *, is_gone: bool
) -> None:
    world = World()
    await world.authority.look()
    await world.authority.keep(intent())
    if is_gone:
        del world.cluster.secrets[AUTHORITY]
    else:
        world.cluster.secrets[AUTHORITY]["data"] = {"a.crt": "bm9uZQ==", "a.key": "bm9uZQ=="}
    before = copy.deepcopy(world.cluster.secrets[MODEL])
    world.start()
    with pytest.raises((ClusterError, ValueError), match="authority"):
        await world.authority.look()
    world.now_seconds += 88 * DAY
    assert await world.authority.keep(intent()) is None
    assert world.cluster.secrets[MODEL] == before
    world.now_seconds += 1.5 * DAY
    with pytest.raises(ClusterError, match="not there yet"):
        await world.authority.keep(intent())


async def test_an_authority_without_a_last_end_of_line_is_taken(intent: Intents) -> None:
    world = World()
    for _ in range(2):
        await world.authority.look()
        world.now_seconds += 250 * DAY
    data = world.cluster.secrets[AUTHORITY]["data"]
    assert len(data) == 4
    for name, value in data.items():
        data[name] = base64.b64encode(base64.b64decode(value).rstrip()).decode()
    world.start()
    world.now_seconds -= 240 * DAY
    await world.authority.look()
    assert world.shown[-1].authorities.count(b"-----BEGIN CERTIFICATE-----\n") == 2
    assert b"----------" not in world.shown[-1].authorities


async def test_what_openssl_does_not_take_is_an_authority_that_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()

    def refuse(_: Issued) -> None:
        raise ssl.SSLError(9, "PEM lib")

    monkeypatch.setattr(world.authority, "_take", refuse)
    with pytest.raises(ValueError, match=r"r-pod-authority is not as it was written.*PEM lib"):
        await world.authority.look()


async def test_no_key_is_logged(intent: Intents, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with caplog.at_level(logging.DEBUG):
        await world.authority.look()
        await world.authority.keep(intent())
    assert "certificate=qca-pod-tls issued" in caplog.text
    for data in map(world.data, (AUTHORITY, CLIENT, MODEL)):
        for name, value in data.items():
            assert value not in caplog.text, name
    assert "PRIVATE KEY" not in caplog.text


async def test_the_loop_goes_on_after_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ClusterError(403, "no right to Secrets")
        raise RuntimeError("enough")

    monkeypatch.setattr(world.authority, "look", look)
    # Not after EVERY_SECONDS: models wait for what could not be made.
    monkeypatch.setattr("atheria_operator.runtime.own_authority.AGAIN_SECONDS", 0.0)
    with pytest.raises(RuntimeError, match="enough"):
        await world.authority.run()
    assert looks == 2


async def test_an_authority_that_somebody_broke_is_named_with_what_to_do(intent: Intents) -> None:
    world = World()
    await world.authority.look()
    data = world.cluster.secrets[AUTHORITY]["data"]
    (name,) = [key for key in data if key.endswith(".crt")]
    written = dict(data)
    # As `_load` tries to sign, also what can be read and is of no use.
    other = P256Issuer().authority("other", now_seconds=world.now_seconds, seconds=DAY)
    data[name.replace(".crt", ".key")] = base64.b64encode(other.key).decode()
    with pytest.raises(ValueError, match=r"r-pod-authority is not as it was written.*not that of its key"):
        await world.authority.look()
    data.update(written)
    data[name] = "bm8gY2VydGlmaWNhdGU="
    with pytest.raises(ValueError, match="without its data a new authority is made"):
        await world.authority.look()
    # Models go on with what was there.
    assert await world.authority.keep(intent()) is None
    world.cluster.secrets[AUTHORITY]["data"] = {}
    await world.authority.look()
    assert world.wakes == 2
