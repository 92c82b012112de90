"""Whether an object of the wanted name may be written: it is this model's, or was another's of the same name that is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from atheria_contract import names
from atheria_operator.api.model import Problem
from atheria_operator.domain.names import Owner

NAME_CONFLICT: Final = "NameConflict"


def conflict(kind: str, metadata: Mapping[str, Any] | None, model: Owner) -> Problem | None:
    """What to say where somebody else has the name; None where the model may have it. `metadata` None = nobody has."""
    if metadata is None:
        return None
    owners = metadata.get("ownerReferences") or ()
    # Also of a model of the same name that was deleted: the garbage collector takes it.
    is_ours = any(
        owner.get("kind") == names.MODEL_KIND and owner.get("name") == model.key.name for owner in owners
    )
    if is_ours:
        return None
    return Problem(
        reason=NAME_CONFLICT,
        message=f"{kind} {model.key.namespace}/{metadata.get('name')} exists and does not belong to this model: delete it, or give "
        "the model another name",
    )
