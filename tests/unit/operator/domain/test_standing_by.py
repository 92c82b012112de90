"""Pods that may be put to sleep are told by which token; all others are as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atheria_contract.serving import parse_serving_config
from atheria_contract.standby import is_token, standby_token
from atheria_operator.api.model import HardwareProfile, ModelIntent, Problem
from atheria_operator.domain.desired.pod_template import ServerDefaults
from atheria_operator.domain.desired.revision import build_revision
from atheria_operator.domain.desired.standby import NO_STANDBY_KEY, with_standby
from atheria_operator.domain.status.faults import FAULTS

KEY = b"k" * 32
SLEEP: Any = {"scaleToZero": {"mode": "sleep"}}
Intents = Callable[..., ModelIntent]


def test_the_pods_know_the_digest_of_their_models_token_and_not_the_token(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    found = with_standby(intent(scaling=SLEEP), KEY)
    assert isinstance(found, ModelIntent)
    text = build_revision(found, cpu, defaults).config_json
    token = standby_token(KEY, "demo", "qca")
    assert is_token(token, parse_serving_config(text).standby.token_digest)
    assert token not in text


def test_a_change_of_the_mode_is_a_new_revision_and_other_models_keep_theirs(
    intent: Intents, cpu: HardwareProfile, defaults: ServerDefaults
) -> None:
    plain = with_standby(intent(), KEY)
    assert plain == intent()
    sleeping = with_standby(intent(scaling=SLEEP), KEY)
    assert isinstance(plain, ModelIntent)
    assert isinstance(sleeping, ModelIntent)
    assert build_revision(plain, cpu, defaults) == build_revision(intent(), cpu, defaults)
    assert build_revision(plain, cpu, defaults).hash != build_revision(sleeping, cpu, defaults).hash


def test_without_a_key_a_model_that_sleeps_is_not_accepted_and_hears_why(intent: Intents) -> None:
    found = with_standby(intent(scaling=SLEEP), b"")
    assert isinstance(found, Problem)
    assert found.reason == NO_STANDBY_KEY
    assert NO_STANDBY_KEY in FAULTS
    assert "standby.secretName" in found.message


def test_the_key_is_not_in_what_is_logged(defaults: ServerDefaults) -> None:
    assert "secret-key" not in repr(ServerDefaults(image=defaults.image, standby_key=b"secret-key"))
