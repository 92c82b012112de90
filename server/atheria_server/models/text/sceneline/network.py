"""The decoder: a picture's patches first, then words, each attending to all before it. A `CausalModel`.

Grouped-query attention, RMSNorm before each part, a GELU perceptron, learned positions. Patches have a place by row and
column, so that the grid follows the picture's real height and width; words have one by their position in the sequence.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from atheria_server.models.text.causal import CacheShape, StepCache
from atheria_server.models.text.sceneline.settings import PATCH, SceneLineSizes
from atheria_server.models.text.sceneline.vocabulary import END, WORDS

_SPREAD = 0.02
"""Standard deviation of what is learned by place, before training."""


class OnePass:
    """The `StepCache` of a whole sequence in one pass: nothing was before, nothing is kept."""

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """What was given."""
        del layer
        return keys, values


class Block(nn.Module):
    """Attention and perceptron, each added to what it read."""

    def __init__(self, sizes: SceneLineSizes, index: int) -> None:
        super().__init__()
        self._index, self._sizes = index, sizes
        kv_width = sizes.kv_heads * sizes.head_size
        self.attention_norm = nn.RMSNorm(sizes.width)
        self.query = nn.Linear(sizes.width, sizes.width, bias=False)
        self.key = nn.Linear(sizes.width, kv_width, bias=False)
        self.value = nn.Linear(sizes.width, kv_width, bias=False)
        self.mix = nn.Linear(sizes.width, sizes.width, bias=False)
        self.perceptron_norm = nn.RMSNorm(sizes.width)
        self.up = nn.Linear(sizes.width, 4 * sizes.width)
        self.down = nn.Linear(4 * sizes.width, sizes.width)

    def forward(self, hidden: Tensor, mask: Tensor | None, cache: StepCache) -> Tensor:
        """[rows, new, width] -> the same; `mask` and `cache` as in `CausalModel.forward`."""
        normed = self.attention_norm(hidden)
        keys, values = cache.update(
            self._index,
            self._by_head(self.key(normed)),
            self._by_head(self.value(normed)),
        )
        attended = F.scaled_dot_product_attention(
            self._by_head(self.query(normed)),
            keys,
            values,
            attn_mask=mask,
            is_causal=mask is None and hidden.shape[1] > 1,
            enable_gqa=True,
        )
        hidden = hidden + self.mix(attended.transpose(1, 2).flatten(2))
        grown: Tensor = self.down(F.gelu(self.up(self.perceptron_norm(hidden))))
        return hidden + grown

    def _by_head(self, projected: Tensor) -> Tensor:
        """[rows, new, heads * head_size] -> [rows, heads, new, head_size]; all heads, or a rank's (`text.parallel`)."""
        rows, new = projected.shape[:2]
        return projected.reshape(rows, new, -1, self._sizes.head_size).transpose(1, 2)


class SceneLine(nn.Module):
    """Implements `CausalModel`; `embed_picture` makes what stands before the words, `similarity` points back at it.

    `grounding_threshold`, the cosine above which a word points at a patch, was learnt on scenes held out of training and is
    kept with the weights.
    """

    def __init__(self, sizes: SceneLineSizes) -> None:
        """Weights are drawn from torch's global generator."""
        super().__init__()
        self.sizes = sizes
        self.patches = nn.Conv2d(3, sizes.width, PATCH, PATCH)
        self.row_places = nn.Parameter(_SPREAD * torch.randn(sizes.side_patches, sizes.width))
        self.column_places = nn.Parameter(_SPREAD * torch.randn(sizes.side_patches, sizes.width))
        self.words = nn.Embedding(len(WORDS), sizes.width)
        # Zero, so that positions beyond those of training are as good as none instead of noise.
        self.word_places = nn.Parameter(torch.zeros(sizes.context_length, sizes.width))
        self.blocks = nn.ModuleList(Block(sizes, index) for index in range(sizes.layers))
        self.norm = nn.RMSNorm(sizes.width)
        self.out = nn.Linear(sizes.width, len(WORDS))
        self.ground_patch = nn.Linear(sizes.width, sizes.grounding_width)
        self.ground_word = nn.Linear(sizes.width, sizes.grounding_width)
        self.grounding_threshold: Tensor
        self.register_buffer("grounding_threshold", torch.tensor(0.5))

    @property
    def cache_shape(self) -> CacheShape:
        """Of one token."""
        return CacheShape(
            layers=self.sizes.layers,
            kv_heads=self.sizes.kv_heads,
            head_size=self.sizes.head_size,
            dtype=self.words.weight.dtype,
        )

    @property
    def width(self) -> int:
        """Of embeddings and hidden states."""
        return self.sizes.width

    @property
    def vocabulary_size(self) -> int:
        """Logits per token."""
        return len(WORDS)

    @property
    def context_length(self) -> int:
        """Most patches and words of a sequence."""
        return self.sizes.context_length

    @property
    def has_own_attention(self) -> bool:
        """See `CausalModel`."""
        return False

    @property
    def end_tokens(self) -> frozenset[int]:
        """Tokens that end a text."""
        return frozenset((END,))

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Words: int64 `tokens` [rows, new] at `positions` of the sequence, patches counted, -> [rows, new, width]."""
        embedded: Tensor = self.words(tokens) + self.word_places[positions]
        return embedded

    def embed_picture(self, pictures: Tensor) -> Tensor:
        """UINT8 [rows, height, width, 3] -> [rows, patches, width], patches in raster order.

        Height and width are multiples of PATCH, of at most `side_patches` patches each.
        """
        scaled = pictures.permute(0, 3, 1, 2).to(self.words.weight.dtype) / 127.5 - 1
        grid = self.patches(scaled)
        rows, columns = grid.shape[2:]
        places = self.row_places[:rows, None] + self.column_places[None, :columns]
        embedded: Tensor = (grid.permute(0, 2, 3, 1) + places).flatten(1, 2)
        return embedded

    def forward(self, embeddings: Tensor, positions: Tensor, mask: Tensor | None, cache: StepCache) -> Tensor:
        """As in `CausalModel`; `positions` are in the embeddings already."""
        del positions
        hidden = embeddings
        for block in self.blocks:
            hidden = block(hidden, mask, cache)
        normed: Tensor = self.norm(hidden)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., 11] in float32 of hidden states [..., width]."""
        scores: Tensor = self.out(hidden).float()
        return scores

    def similarity(self, words: Tensor, patches: Tensor) -> Tensor:
        """Cosine, from -1 to 1, of each word with each patch: [rows, words, patches], float32.

        Both are hidden states behind the last norm, [rows, words, width] and [rows, patches, width]. A word's is that of
        the position where the word was read, which is where the next one is foretold.
        """
        directions = F.normalize(self.ground_word(words).float(), dim=-1)
        targets = F.normalize(self.ground_patch(patches).float(), dim=-1)
        return directions @ targets.transpose(1, 2)

    def read(self, pictures: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """One pass without a cache over pictures and words: hidden states of the patches and of the words.

        UINT8 [rows, height, width, 3], int64 [rows, words] -> [rows, patches, width], [rows, words, width]. What training
        does, and what a cached generation has to equal.
        """
        before = self.embed_picture(pictures)
        count = before.shape[1]
        positions = torch.arange(count, count + tokens.shape[1], device=tokens.device).expand(tokens.shape)
        whole = torch.cat((before, self.embed(tokens, positions)), dim=1)
        everywhere = torch.arange(whole.shape[1], device=tokens.device).expand(whole.shape[:2])
        hidden = self.forward(whole, everywhere, None, OnePass())
        return hidden[:, :count], hidden[:, count:]
