#!/usr/bin/env bash
# Packages the chart for a tag, pushes it to the registry of its images and signs it. Called by the workflow `release`, after the images.
#   REGISTRY=registry.example.org/atheria GITHUB_REF_NAME=v1.2.3 tools/release/publish_chart.sh [options of helm push]
# With REGISTRY_USER it logs in first, at REGISTRY_HOST with REGISTRY_PASSWORD.
set -euo pipefail
cd "$(dirname "$0")/../.."
fail() { printf 'publish_chart.sh: %s\n' "$1" >&2; exit 1; }

: "${REGISTRY:?publish_chart.sh: REGISTRY is not set, e.g. registry.example.org/atheria}"
: "${GITHUB_REF_NAME:?publish_chart.sh: GITHUB_REF_NAME is not set, e.g. v1.2.3}"
[[ $REGISTRY =~ ^[^/]+(/.+)?/atheria$ ]] || fail "REGISTRY is '$REGISTRY': it has to end in /atheria, as the chart calls its images atheria/operator, atheria/gateway, atheria/server"
[[ $GITHUB_REF_NAME =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "the tag is '$GITHUB_REF_NAME': use v and a semantic version, e.g. v1.2.3"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R charts/atheria "$work/atheria"
# Its images are where it is: who installs it by its name need not say so again.
sed -i "s|^  registry: \"\"\$|  registry: \"${REGISTRY%/atheria}\"|" "$work/atheria/values.yaml"
[ "$(grep -cxF "  registry: \"${REGISTRY%/atheria}\"" "$work/atheria/values.yaml")" = 1 ] || fail "charts/atheria/values.yaml has no single image.registry to set"

if [ -n "${REGISTRY_USER:-}" ]; then
  helm registry login "$REGISTRY_HOST" --username "$REGISTRY_USER" --password-stdin <<< "$REGISTRY_PASSWORD"
  cosign login "$REGISTRY_HOST" --username "$REGISTRY_USER" --password-stdin <<< "$REGISTRY_PASSWORD"
fi
helm package "$work/atheria" --version "${GITHUB_REF_NAME#v}" --app-version "$GITHUB_REF_NAME" --destination "$work"
said=$(helm push "$work/atheria-${GITHUB_REF_NAME#v}.tgz" "oci://$REGISTRY/charts" "$@" 2>&1) || fail "helm push: $said"
printf '%s\n' "$said"
tools/release/sign.sh "$REGISTRY/charts/atheria" "$(sed -n 's/^Digest: //p' <<< "$said")"
