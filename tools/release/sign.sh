#!/usr/bin/env bash
# Signs what is at a registry, keyless (Sigstore), by its digest. Called by the workflow `release` and by publish_chart.sh.
#   tools/release/sign.sh registry.example.org/atheria/operator sha256:…
set -euo pipefail
name=${1:?usage: sign.sh NAME DIGEST}
digest=${2:-}
# Without a digest cosign would be asked for a tag, which can be moved.
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "sign.sh: $name has no digest (got '$digest'): was it pushed?" >&2; exit 1; }
cosign sign --yes "$name@$digest"
