"""The ADS state machine against a simulated Envoy that answers in any order."""

from __future__ import annotations

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.route.v3 import route_pb2
from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from atheria_gateway.core.endpoints import Endpoint
from atheria_gateway.core.model import ModelKey
from atheria_gateway.core.routing import DataPlane, routing_table
from atheria_gateway.core.shares import Share
from atheria_gateway.xds.ads_stream import AdsStream
from atheria_gateway.xds.cluster_names import ROUTE_CONFIG, pods_cluster, revision_cluster, serving_cluster
from atheria_gateway.xds.resources import CDS, EDS, RDS, EnvoyOptions, Snapshot, build_snapshot

OPTIONS = EnvoyOptions(hold_socket="/run/hold.sock", not_started_token="t")
QCA = ModelKey(namespace="demo", name="qca")
KERR = ModelKey(namespace="demo", name="kerr")
POD = Endpoint(address="10.0.0.1")
OTHER_POD = Endpoint(address="10.0.0.2")


def _snapshot(pods: dict[ModelKey, tuple[Endpoint, ...]], canary: int = 0) -> Snapshot:
    """`canary` is the percent of demo/qca's calls that a second revision takes; 0 = there is none."""
    shares = _shares(canary) if canary and QCA in pods else {}
    return build_snapshot(DataPlane(routing=routing_table(pods), endpoints=pods, shares=shares), OPTIONS)


def _shares(canary: int) -> dict[ModelKey, tuple[Share, ...]]:
    return {
        QCA: (
            Share(revision="qca-a", weight=100 - canary, endpoints=(POD,)),
            Share(revision="qca-b", weight=canary, endpoints=(OTHER_POD,)),
        )
    }


def _request(url: str, names: list[str], nonce: str = "", error: str = "") -> Any:
    request = discovery_pb2.DiscoveryRequest(type_url=url, resource_names=names, response_nonce=nonce)
    if error:
        request.error_detail.code = 3
        request.error_detail.message = error
    return request


def _clusters_of(*models: ModelKey) -> list[str]:
    return [name(model, http=http) for model in models for http in (False, True) for name in (serving_cluster, pods_cluster)]  # fmt: skip


def test_nothing_is_sent_before_the_first_snapshot() -> None:
    stream = AdsStream()
    assert stream.on_request(_request(CDS, [])) == []
    assert stream.on_request(_request(RDS, [ROUTE_CONFIG])) == []
    assert {answer.type_url for answer in stream.on_snapshot(_snapshot({}))} == {CDS, RDS}


def test_routes_wait_until_every_cluster_has_acknowledged_endpoints() -> None:
    stream = AdsStream()
    stream.on_snapshot(_snapshot({QCA: ()}))
    (clusters,) = stream.on_request(_request(CDS, []))
    stream.on_request(_request(CDS, [], clusters.nonce))
    assert stream.on_request(_request(RDS, [ROUTE_CONFIG])) == []
    (assignments,) = stream.on_request(_request(EDS, _clusters_of(QCA)))
    assert not stream.is_routed
    (routes,) = stream.on_request(_request(EDS, _clusters_of(QCA), assignments.nonce))
    assert routes.type_url == RDS
    stream.on_request(_request(RDS, [ROUTE_CONFIG], routes.nonce))
    assert stream.is_routed


def test_only_the_changed_assignments_are_sent_and_counted_as_known_at_their_acknowledgement() -> None:
    stream = AdsStream()
    stream.on_snapshot(_snapshot({QCA: (), KERR: (OTHER_POD,)}))
    (first,) = stream.on_request(_request(EDS, _clusters_of(QCA, KERR)))
    stream.on_request(_request(EDS, _clusters_of(QCA, KERR), first.nonce))
    (second,) = stream.on_snapshot(_snapshot({QCA: (POD,), KERR: (OTHER_POD,)}))
    sent = [
        endpoint_pb2.ClusterLoadAssignment.FromString(item.value).cluster_name for item in second.resources
    ]
    assert sorted(sent) == sorted(_clusters_of(QCA))
    assert stream.acknowledged[pods_cluster(QCA, http=False)] == frozenset()
    stream.on_request(_request(EDS, _clusters_of(QCA, KERR), second.nonce))
    assert stream.acknowledged[pods_cluster(QCA, http=False)] == frozenset({POD})


def test_a_refused_answer_is_kept_for_the_log_and_acknowledges_nothing() -> None:
    stream = AdsStream()
    stream.on_snapshot(_snapshot({QCA: (POD,)}))
    (answer,) = stream.on_request(_request(EDS, _clusters_of(QCA)))
    stream.on_request(_request(EDS, _clusters_of(QCA), answer.nonce, error="malformed address"))
    assert stream.rejections == ["ClusterLoadAssignment: malformed address"]
    assert stream.acknowledged == {}


def test_other_types_are_not_answered() -> None:
    stream = AdsStream()
    stream.on_snapshot(_snapshot({QCA: ()}))
    assert stream.on_request(_request("type.googleapis.com/envoy.config.listener.v3.Listener", [])) == []


class EnvoyTalks(RuleBasedStateMachine):
    """Snapshots and acknowledgements interleave freely; Envoy subscribes to the endpoints of the clusters it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = AdsStream()
        self.wanted: dict[ModelKey, tuple[Endpoint, ...]] | None = None
        self.canary = 0
        self.outbox: list[Any] = []
        """Answers on their way to Envoy, in order."""
        self.clusters: set[str] = set()
        self.assignments: dict[str, frozenset[str]] = {}
        self.routed_to: set[str] = set()
        self.last_nonce = {CDS: "", EDS: "", RDS: ""}
        for url, names in ((CDS, []), (RDS, [ROUTE_CONFIG])):
            self._send(_request(url, names))

    def _send(self, request: Any) -> None:
        self.outbox.extend(self.stream.on_request(request))

    @rule(
        pods=st.dictionaries(
            st.sampled_from([QCA, KERR, ModelKey(namespace="b", name="qca")]),
            st.sampled_from([(), (POD,), (OTHER_POD,), (POD, OTHER_POD)]),
        ),
        canary=st.sampled_from([0, 10, 50]),
    )
    def the_cluster_changes(self, pods: dict[ModelKey, tuple[Endpoint, ...]], canary: int) -> None:
        self.wanted, self.canary = pods, canary if QCA in pods else 0
        self.outbox.extend(self.stream.on_snapshot(_snapshot(pods, canary)))

    @precondition(lambda self: self.outbox)
    @rule()
    def envoy_takes_an_answer(self) -> None:
        answer = self.outbox.pop(0)
        url = answer.type_url
        self.last_nonce[url] = answer.nonce
        if url == CDS:
            before = self.clusters
            self.clusters = {cluster_pb2.Cluster.FromString(item.value).name for item in answer.resources}
            self.assignments = {
                name: pods for name, pods in self.assignments.items() if name in self.clusters
            }
            self._send(_request(CDS, [], answer.nonce))
            if self.clusters != before:
                self._send(_request(EDS, sorted(self.clusters), self.last_nonce[EDS]))
        elif url == EDS:
            for item in answer.resources:
                assignment = endpoint_pb2.ClusterLoadAssignment.FromString(item.value)
                if assignment.cluster_name in self.clusters:
                    self.assignments[assignment.cluster_name] = frozenset(
                        host.endpoint.address.socket_address.address
                        for host in assignment.endpoints[0].lb_endpoints
                    )
            self._send(_request(EDS, sorted(self.clusters), answer.nonce))
        else:
            routes = route_pb2.RouteConfiguration.FromString(answer.resources[0].value)
            self.routed_to = {
                name
                for host in routes.virtual_hosts
                for route in host.routes
                for name in (
                    route.route.cluster,
                    *(share.name for share in route.route.weighted_clusters.clusters),
                )
                if "/" in name
            }
            self._send(_request(RDS, [ROUTE_CONFIG], answer.nonce))

    @invariant()
    def one_answer_of_a_type_is_on_its_way_at_a_time(self) -> None:
        urls = [answer.type_url for answer in self.outbox]
        assert len(urls) == len(set(urls))

    @invariant()
    def no_route_leads_to_a_cluster_that_is_not_there_or_has_no_endpoints_yet(self) -> None:
        assert self.routed_to <= self.clusters
        assert self.routed_to <= set(self.assignments)

    @invariant()
    def when_all_is_delivered_envoy_knows_what_is_wanted(self) -> None:
        if self.outbox or self.wanted is None:
            return
        expected = {
            name: frozenset(pod.address for pod in pods)
            for model, pods in self.wanted.items()
            for name in _clusters_of(model)
        }
        shares = _shares(self.canary)[QCA] if self.canary else ()
        for http in (False, True):
            for share in shares:
                name = revision_cluster(QCA, share.revision, http=http)
                expected[name] = frozenset(pod.address for pod in share.endpoints)
        assert self.clusters == set(expected)
        assert self.assignments == expected
        assert self.routed_to == {
            name
            for model in self.wanted
            for http in (False, True)
            for name in (
                [revision_cluster(model, share.revision, http=http) for share in shares]
                if shares and model == QCA
                else [serving_cluster(model, http=http)]
            )
        }
        assert self.stream.is_settled
        for name, addresses in expected.items():
            assert frozenset(pod.address for pod in self.stream.acknowledged[name]) == addresses


EnvoyTalks.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestEnvoyTalks = EnvoyTalks.TestCase
