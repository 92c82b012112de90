"""What the runtime text is asked to do with keys, values and attention, and what became of it.

Only what is given is told to the server, as its own parameters (`api.text`), so a model that says nothing of it keeps its revision.
"""

# ruff: noqa: N815 - fields are spelt as in the API.

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from atheria_operator.api.types.fields import Part, refusal


class KvCache(Part):
    """How a text model keeps keys and values."""

    model_config = ConfigDict(
        json_schema_extra=refusal(
            "!has(self.recentWindow) || self.recentWindow < 32 || self.recentWindow % 32 == 0",
            "recentWindow must be below 32 or a multiple of 32: tokens are compressed in groups of 32",
        )
    )

    precision: Literal["full", "int8", "int4", "int2"] | None = Field(
        default=None,
        description="Of tokens older than recentWindow: full (as computed), int8, int4, or int2 (an experiment). A pod measures what it "
        "changes before it is ready, and steps back to a more exact one where that is beyond leastAgreement or mostDivergence. "
        "Default: full.",
    )
    recentWindow: int | None = Field(
        default=None,
        ge=1,
        le=1_048_576,
        description="Most newest tokens of a text that stay exact: below 32, or a multiple of it; 128 to 256 for long contexts. "
        "Default: 128. From 1 to 1048576.",
    )
    leastAgreement: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Error budget: part of the likeliest tokens that must stay the same. Default: 0.99. From 0 to 1.",
    )
    mostDivergence: float | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Error budget: mean Kullback-Leibler divergence from an exact cache, in nats per token. Default: 0.01. From 0 to 1000.",
    )


class Attention(Part):
    """How a text model computes attention."""

    kernel: Literal["automatic", "standard", "flash"] | None = Field(
        default=None,
        description="automatic (from 512 keys on one that never writes the matrix of all scores), standard (all scores in memory), or "
        "flash (always in tiles; a pod whose device cannot is refused). Default: automatic.",
    )


class KvCacheStatus(Part):
    """What became of spec.kvCache."""

    revision: str = Field(description="Name of the revision.")
    pod: str = Field(description="Pod that measured it.")
    wanted: str | None = Field(default=None, description="Precision that was asked for.")
    precision: str | None = Field(
        default=None,
        description="Precision that runs; a more exact one where the wanted one changed too much.",
    )
    recentWindow: int | None = Field(
        default=None, ge=0, description="Most newest tokens of a text that stay exact."
    )
    comparedTokens: int | None = Field(
        default=None, ge=0, description="Foretold tokens that were compared with those of an exact cache."
    )
    agreement: float | None = Field(
        default=None, description="Part of the likeliest tokens that stay the same, from 0 to 1."
    )
    leastAgreement: float | None = Field(default=None, description="What is allowed of it.")
    divergence: float | None = Field(
        default=None, description="Mean Kullback-Leibler divergence, in nats per token."
    )
    mostDivergence: float | None = Field(default=None, description="What is allowed of it.")
    steppedBack: bool | None = Field(
        default=None,
        description="Whether precision is not the wanted one; see the condition KvCacheAccepted.",
    )
    why: str | None = Field(
        default=None, description="What was measured of each precision that was tried, in the server's words."
    )


def only_text_models_have_them() -> dict[str, Any]:
    """The rule over spec.kvCache, spec.attention and spec.model together, for the spec."""
    return refusal(
        "!(has(self.kvCache) || has(self.attention)) || self.model.runtime == 'text'",
        "kvCache and attention are of text models: set model.runtime: text, or remove them",
    )
