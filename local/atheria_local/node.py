"""The node: containerd, kubelet and kube-proxy with their configuration. Called by `cluster`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from atheria_local import cgroups, images, network, paths
from atheria_local.pki import Authority

NODE_NAME: Final = "atheria-local"
DNS_SERVICE: Final = "10.96.0.10"
KUBELET_ROOT: Final = paths.CLUSTER / "kubelet"
CNI_CONFIGURATION: Final = paths.CLUSTER / "cni"
CONTAINERD_STATE: Final = paths.RUN / "containerd"


def containerd_command() -> list[str]:
    """Write containerd's and the CNI's configuration; the command that starts it."""
    CNI_CONFIGURATION.mkdir(parents=True, exist_ok=True)
    (CNI_CONFIGURATION / "10-bridge.conflist").write_text(json.dumps(_bridge(), indent=1))
    file = paths.CLUSTER / "containerd.toml"
    file.write_text(f"""\
version = 2
root = "{paths.CONTAINERD_ROOT}"
state = "{CONTAINERD_STATE}"
# A snapshotter of another file system only prints why it cannot be used.
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{paths.CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  # Beside the rest of the state, so that `down` unmounts ours and no others.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{CNI_CONFIGURATION}"
""")
    return ["containerd", "--config", str(file)]


def kubelet_command(program: str, authority: Authority, server: str) -> list[str]:
    """Write the kubelet's configuration; the command that starts it."""
    client = authority.issue(f"system:node:{NODE_NAME}", organization="system:nodes")
    serving = authority.issue("kubelet-serving", names=[f"IP:{network.NODE_ADDRESS}", f"DNS:{NODE_NAME}"])
    resolver = paths.CLUSTER / "resolv.conf"
    # The host's resolver is often an address that is not there in the namespace.
    resolver.write_text(f"nameserver {network.NODE_ADDRESS}\n")
    KUBELET_ROOT.mkdir(parents=True, exist_ok=True)
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.NODE_ADDRESS,
        "port": 10250,
        "healthzPort": 10248,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.NAME}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": str(resolver),
        "containerRuntimeEndpoint": f"unix://{paths.CONTAINERD_SOCKET}",
        # Our images come from no registry: one that is collected is lost.
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
        "evictionHard": {
            "nodefs.available": "500Mi",
            "imagefs.available": "500Mi",
            "memory.available": "100Mi",
        },
        "serializeImagePulls": False,
        "nodeStatusUpdateFrequency": "5s",
    }
    file = paths.CLUSTER / "kubelet.json"
    file.write_text(json.dumps(configuration, indent=1))
    kubeconfig = authority.kubeconfig(paths.CLUSTER / "kubelet.kubeconfig", server, client)
    return [
        program,
        f"--config={file}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={KUBELET_ROOT}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={network.NODE_ADDRESS}",
    ]


def kube_proxy_command(program: str, authority: Authority, server: str) -> list[str]:
    """The command that starts kube-proxy."""
    client = authority.issue("system:kube-proxy")
    kubeconfig = authority.kubeconfig(paths.CLUSTER / "kube-proxy.kubeconfig", server, client)
    return [
        program,
        f"--kubeconfig={kubeconfig}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={network.POD_RANGE}",
        f"--hostname-override={NODE_NAME}",
        # The connection table is the host's: not ours to resize.
        "--conntrack-max-per-core=0",
        "--iptables-min-sync-period=0s",
    ]


def _bridge() -> dict[str, object]:
    leases: Path = paths.CLUSTER / "leases"
    return {
        "cniVersion": "0.4.0",
        "name": "atheria-pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "atheria0",
                "isGateway": True,
                "hairpinMode": True,
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(leases),
                    "ranges": [[{"subnet": network.POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
