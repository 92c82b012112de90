"""The version of the clusters names the revisions among them, so that Envoy can tell a restarted activator."""

from __future__ import annotations

from atheria_gateway.core.model import ModelKey
from atheria_gateway.xds.cluster_names import pods_cluster, revision_cluster, serving_cluster
from atheria_gateway.xds.inherited import revisions_in, version_of

QCA = ModelKey(namespace="demo", name="qca")
KERR = ModelKey(namespace="lab", name="kerr")


def test_a_version_says_each_revision_once_and_no_other_cluster() -> None:
    clusters = [
        serving_cluster(QCA, http=False),
        pods_cluster(KERR, http=True),
        *(revision_cluster(QCA, "qca-a", http=http) for http in (False, True)),
        revision_cluster(KERR, "kerr-b", http=True),
    ]
    assert revisions_in(version_of("7", clusters)) == ((QCA, "qca-a"), (KERR, "kerr-b"))


def test_a_version_without_revisions_or_from_elsewhere_says_none() -> None:
    assert version_of("7", [serving_cluster(QCA, http=False)]) == "7"
    for version in ("", "7", "2026-11-21 something else"):
        assert revisions_in(version) == ()
