#!/usr/bin/env bash
# What a security review asks of the sources: bandit, hadolint, a bill of materials of each image, licences. `make audit` calls it.
# Its tools live in .local/audit, by hash; it writes dist/audit/ and fails on a finding or a licence that is not allowed.
set -euo pipefail
cd "$(dirname "$0")/.."
out=dist/audit
bin=.local/audit/bin
say() { printf '\n== %s\n' "$1"; }

stamp=$(sha256sum requirements/audit.txt | cut -c1-16)
if [ ! -e ".local/audit/.setup-$stamp" ]; then
  .venv/bin/uv venv -q --clear --python .venv/bin/python .local/audit
  .venv/bin/uv pip install -q --python $bin/python --require-hashes -r requirements/audit.txt
  touch ".local/audit/.setup-$stamp"
fi
rm -rf "$out"
mkdir -p "$out"

say "bandit: findings of medium and high severity in what images carry and in the command line"
# B104, B108: a container listens on all of its addresses and has a /tmp of its own. Low findings: ruff's rules S, each exception with its reason.
$bin/bandit -q --severity-level medium --skip B104,B108 -r contract operator server gateway cli

say "hadolint: Dockerfile"
$bin/hadolint --ignore DL3008 --ignore DL3003 Dockerfile # apt's versions are the suite's

for image in operator gateway server; do
  lists=(requirements/$image.txt)
  [ $image != gateway ] || lists+=(requirements/otel.txt)
  [ $image != server ] || lists+=(requirements/torch.txt requirements/otel.txt requirements/optimize.txt requirements/sources.txt requirements/text.txt)
  say "bill of materials, CycloneDX: $out/$image.cdx.json"
  grep -hv '^ *#' "${lists[@]}" > "$out/$image.txt"
  $bin/cyclonedx-py requirements --of JSON --sv 1.6 -o "$out/$image.cdx.json" "$out/$image.txt"
  rm "$out/$image.txt"
done

say "licences of every package of the development environment: $out/licences.csv"
# These do not name theirs where the tool looks: torchao BSD-3-Clause, cuda-toolkit NVIDIA's as the packages it is made of,
# axe-playwright-python MIT (its licence file) with axe-core, MPL-2.0, in it.
$bin/pip-licenses --python .venv/bin/python --from=mixed --format=csv --with-urls --output-file "$out/licences.csv" \
  --ignore-packages torchao cuda-toolkit axe-playwright-python atheria --partial-match \
  --allow-only "MIT;Apache;BSD;ISC;PSF;Python Software Foundation;MPL;Mozilla;ZPL;NVIDIA"
printf '\nno finding; what there is: %s\n' "$out"
