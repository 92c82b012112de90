"""Apply the hardware profiles that the chart ships, before the operator starts.

Helm cannot install a custom object in the same release as its definition, so the chart mounts the profiles as a
ConfigMap and runs this module (`python -m atheria_operator.install_profiles DIRECTORY`) as an init container.
It uses server-side apply: fields that a person owns on the same profile stay theirs.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from atheria_contract import names

_LOG = logging.getLogger("atheria.install_profiles")
_REQUEST_TIMEOUT_SECONDS = 10.0
_RETRY_SECONDS = 0.5


class ProfileFileError(ValueError):
    """A file is not a hardware profile; the message names the file, what it holds and what is expected."""


def read_profiles(directory: Path) -> list[Mapping[str, Any]]:
    """Every `*.yaml` of `directory`, one AtheriaHardwareProfile each, by file name. Raises ProfileFileError."""
    profiles: list[Mapping[str, Any]] = []
    for path in sorted(directory.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        kind = document.get("kind") if isinstance(document, dict) else type(document).__name__
        if not isinstance(document, dict) or kind != names.PROFILE_KIND:
            raise ProfileFileError(f"{path}: kind is {kind!r}, expected {names.PROFILE_KIND!r}")
        if not document.get("metadata", {}).get("name"):
            raise ProfileFileError(f"{path}: metadata.name is missing: give the profile a name")
        profiles.append(document)
    if not profiles:
        raise ProfileFileError(f"{directory}: no *.yaml file with an {names.PROFILE_KIND} in it")
    return profiles


def apply_profiles(
    api: client.CustomObjectsApi, profiles: list[Mapping[str, Any]], *, timeout_seconds: float
) -> None:
    """Server-side apply each profile; waits up to `timeout_seconds` for the definition and the API server.

    Raises TimeoutError with the last answer. A refused profile (HTTP 400, 403, 422) is raised at once.
    """
    deadline = time.monotonic() + timeout_seconds
    for profile in profiles:
        name = profile["metadata"]["name"]
        while True:
            try:
                api.patch_cluster_custom_object(
                    names.GROUP,
                    names.VERSION,
                    names.PROFILE_PLURAL,
                    name,
                    dict(profile),
                    field_manager=names.FIELD_MANAGER_OPERATOR,
                    force=True,
                    _content_type="application/apply-patch+yaml",
                    _request_timeout=_REQUEST_TIMEOUT_SECONDS,
                )
            except client.ApiException as error:
                if error.status in (400, 403, 422):
                    raise
                answer = f"HTTP {error.status} {error.reason}"
            except OSError as error:
                answer = str(error)
            else:
                _LOG.info("applied hardware profile %s", name)
                break
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"hardware profile {name!r} could not be applied within {timeout_seconds:g} s: {answer}; "
                    f"is the definition of {names.PROFILE_KIND} installed (chart value crds.enabled)?"
                )
            time.sleep(_RETRY_SECONDS)


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0 when all profiles are applied, 1 with one line of explanation otherwise."""
    parser = argparse.ArgumentParser(prog="atheria_operator.install_profiles", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--timeout-seconds", type=float, default=60.0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    config.load_config()
    try:
        apply_profiles(
            client.CustomObjectsApi(),
            read_profiles(options.directory),
            timeout_seconds=options.timeout_seconds,
        )
    except client.ApiException as error:
        _LOG.error("refused by the API server: HTTP %s %s", error.status, error.body)
        return 1
    except (ProfileFileError, TimeoutError) as error:
        _LOG.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
