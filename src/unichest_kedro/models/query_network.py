"""One query network: a pre-norm transformer decoder that asks an image about findings (docs/method.md, section 2).

The parameters lie as in torch's `nn.MultiheadAttention` and in the published checkpoint: packed `in_proj`
(query, key, value) and `out_proj`, with biases. The LayerNorm at the input and the output belongs to the
mixture, which shares it between all networks.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unichest_kedro.errors import SettingsError

INITIAL_STD = 0.02
"""Standard deviation of the initial weights of query networks, heads and gate (docs/method.md, section 3)."""


class Memory(NamedTuple):
    """What the queries look at: normalised `patches` (B,P,D) and `pooled` (B,1,D), their mean.

    `pooled` is None for a single patch (the text branch), where only the fine attention is used, unscaled. Beside
    images, `texts` (T,1,D) are the single patches of further rows that are answered in the same call, after the images:
    both branches share all weights, so their gradients are summed in one product.
    """

    patches: Tensor
    pooled: Tensor | None
    texts: Tensor | None = None

    @property
    def rows(self) -> int:
        """B, or B + T with texts."""
        # By `shape`: to an exported model `len` would be a constant.
        return self.patches.shape[0] + (0 if self.texts is None else self.texts.shape[0])


class QueryAnswers(NamedTuple):
    """`logits` (rows,Q) and the last layer's fine `attention` (B,Q,P) averaged over heads, or None."""

    logits: Tensor
    attention: Tensor | None


class Attention(nn.Module):
    """Multi-head attention with the parameter layout of `nn.MultiheadAttention` (batch first).

    With `few_queries` (a plain attribute, for inference on a processor) queries are carried into the space of the
    patches where that takes fewer products than a key and a value for every patch; answers differ by rounding.

    Args:
        width: D, divisible by `heads`.
        heads: Number of heads.
        dropout: Dropout on the attention weights, in training mode only.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        check_heads(width, heads)
        self.width = width
        self.heads = heads
        self.dropout = dropout
        self.few_queries = False
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.normal_(self.in_proj_weight, std=INITIAL_STD)

    def attend_to_self(self, x: Tensor, batch: int) -> Tensor:
        """Self-attention of (B,Q,D) or (1,Q,D).

        Inputs that are equal for the whole batch come as (1,Q,D) and are projected once. Where dropout is
        drawn, they are spread over the `batch` before it, so each element has its own draw, as if computed in
        full.
        """
        query, key, value = (
            self._split(part) for part in F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        )
        if self._rate and x.shape[0] != batch:
            query, key, value = (part.expand(batch, -1, -1, -1) for part in (query, key, value))
        return self.out_proj(self._merge(self._attend(query, key, value)))

    def attend_twice(self, x: Tensor, memory: Memory, lam_fine: float, lam_global: float) -> Tensor:
        """`lam_fine * attention(x, patches) + lam_global * attention(x, pooled)`, the same weights for both.

        Attention over the one pooled patch has weight one, so it is that patch's value; in training that
        weight meets dropout per head and query, exactly as in `nn.MultiheadAttention`. The output projection
        is linear and is applied once, to the weighted sum.

        Args:
            x: Queries (B,Q,D) or (1,Q,D); (B+T,Q,D) or (1,Q,D) with texts.
            memory: What they look at.
            lam_fine: Weight of the attention over patches.
            lam_global: Weight of the attention over the pooled patch.

        Returns:
            Of the shape of x for the whole batch, or (B,1,D) where it is the same for all queries.
        """
        if memory.pooled is None:
            return self._output(self._attend_to_one(self._value(memory.patches), x.shape[1]), 1.0)
        if self.few_queries and memory.texts is None and not self._rate and self._are_few(x.shape[1], memory):
            return self._carry_queries(x, memory.patches, memory.pooled, lam_fine, lam_global)
        images, patches = memory.patches.shape[:2]
        seen = torch.cat([memory.patches, memory.pooled], dim=1)
        query, key, value, told = self._parts(x[:images], seen, memory.texts)
        values, pooled = value.split([patches, 1], dim=2)
        attended = self._attend(query, key[:, :, :patches], values)
        coarse = lam_global * self._attend_to_one(pooled, x.shape[1])
        output = self._output(torch.add(coarse, attended, alpha=lam_fine), lam_fine + lam_global)
        if told is None:
            return output
        heard = self._output(self._attend_to_one(told, x.shape[1]), 1.0)
        return torch.cat([output, heard.expand(-1, x.shape[1], -1)])

    def weights(self, x: Tensor, patches: Tensor) -> Tensor:
        """Attention weights (B,Q,P) of queries over patches, averaged over heads, without dropout."""
        query, key, *_ = self._parts(x, patches)
        scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        return scores.softmax(dim=-1).mean(dim=1)

    @property
    def _rate(self) -> float:
        return self.dropout if self.training else 0.0

    def _parts(
        self, x: Tensor, seen: Tensor, texts: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries of x, keys and values of what is seen (B,M,D), values of texts (T,1,D); all split into heads."""
        # Splitting the weight is one copy in the backward pass; each slice of it would be a whole gradient of zeros.
        shares = [self.width, 2 * self.width]
        asks, shows = zip(self.in_proj_weight.split(shares), self.in_proj_bias.split(shares))
        query = self._split(F.linear(x, *asks)).expand(seen.shape[0], -1, -1, -1)
        told = None
        if texts is None:
            shown = F.linear(seen, *shows)
        else:  # a text's key is computed for nothing: a slice of the weight would cost more
            rows = torch.cat([seen.flatten(0, 1), texts.flatten(0, 1)])
            shown, of_texts = F.linear(rows, *shows).split([seen.shape[0] * seen.shape[1], len(texts)])
            shown = shown.unflatten(0, seen.shape[:2])
            told = self._split(of_texts[:, None, self.width :])
        key, value = (self._split(part) for part in shown.chunk(2, dim=-1))
        return query, key, value, told

    def _are_few(self, queries: int, memory: Memory) -> bool:
        """Whether carrying the queries takes fewer products: Q (D + (heads - 1) P) < P D."""
        patches = memory.patches.shape[1]
        return queries * (self.width + (self.heads - 1) * patches) < patches * self.width

    def _carry_queries(self, x: Tensor, patches: Tensor, pooled: Tensor, lam_fine: float, lam_global: float) -> Tensor:
        """What `attend_twice` gives without texts and dropout, by the same sums in another order.

        With W_k, W_v of one head: q (W_k p) = (W_k' q) p, and the sum of a W_v p is W_v applied to the sum of a p. The
        bias of the keys adds the same to all scores of a query, which softmax does not see.
        """
        asks, shows, tells = self.in_proj_weight.split(self.width)
        ask_bias, _, tell_bias = self.in_proj_bias.split(self.width)
        query = self._split(F.linear(x, asks, ask_bias))
        carried = (query @ shows.unflatten(0, (self.heads, -1))).expand(len(patches), -1, -1, -1).flatten(1, 2)
        scores = carried @ patches.transpose(1, 2) / query.shape[-1] ** 0.5
        seen = (scores.softmax(dim=-1).to(patches.dtype) @ patches).unflatten(1, (self.heads, -1))
        both = lam_fine * seen + lam_global * pooled[:, None]
        value = both @ tells.unflatten(0, (self.heads, -1)).transpose(1, 2)
        scale = lam_fine + lam_global
        return F.linear(self._merge(value) + scale * tell_bias, self.out_proj.weight, scale * self.out_proj.bias)

    def _value(self, seen: Tensor) -> Tensor:
        start = 2 * self.width
        return self._split(F.linear(seen, self.in_proj_weight[start:], self.in_proj_bias[start:]))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=self._rate)

    def _attend_to_one(self, value: Tensor, queries: int) -> Tensor:
        if not self._rate:
            return value
        weight = value.new_ones(*value.shape[:2], queries, 1)
        return F.dropout(weight, self._rate) * value

    def _output(self, attended: Tensor, scale: float) -> Tensor:
        return F.linear(self._merge(attended), self.out_proj.weight, scale * self.out_proj.bias)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _merge(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)


class QueryLayer(nn.Module):
    """One pre-norm decoder layer: self-attention, cross-attention fine and global, feed-forward with ReLU."""

    def __init__(
        self, width: int, heads: int, feedforward: int, dropout: float, lam_fine: float, lam_global: float
    ) -> None:
        super().__init__()
        self.lam_fine = lam_fine
        self.lam_global = lam_global
        self.self_attn = Attention(width, heads, dropout)
        self.multihead_attn = Attention(width, heads, dropout)
        self.linear1 = nn.Linear(width, feedforward)
        self.linear2 = nn.Linear(feedforward, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """Maps queries, one set per row of the memory or (1,Q,D) where they are still the same, to (rows,Q,D)."""
        x = x + self.dropout(self.self_attn.attend_to_self(self.norm1(x), memory.rows))
        x = x + self._look(self.norm2(x), memory)
        inner = self.dropout(F.relu(self.linear1(self.norm3(x))))
        return x + self.dropout(self.linear2(inner))

    def attention(self, x: Tensor, memory: Memory) -> Tensor:
        """Fine attention weights (B,Q,P) that this layer has for its input x; meant for evaluation mode."""
        x = x + self.dropout(self.self_attn.attend_to_self(self.norm1(x), memory.rows))
        return self.multihead_attn.weights(self.norm2(x[: len(memory.patches)]), memory.patches)

    def _look(self, x: Tensor, memory: Memory) -> Tensor:
        seen = self.multihead_attn.attend_twice(x, memory, self.lam_fine, self.lam_global)
        return self.dropout(seen)


class QueryNetwork(nn.Module):
    """Decoder layers and a head: is each finding there?

    Args:
        width: D, the width of patches and queries.
        layers: Number of decoder layers.
        heads: Attention heads.
        feedforward: Width of the feed-forward part.
        dropout: Dropout rate, also before the head.
        lam_fine: Weight of the attention over the patches.
        lam_global: Weight of the attention over the pooled patch.
    """

    def __init__(
        self,
        width: int = 768,
        layers: int = 4,
        heads: int = 4,
        feedforward: int = 1024,
        dropout: float = 0.1,
        lam_fine: float = 1.0,
        lam_global: float = 0.4,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            QueryLayer(width, heads, feedforward, dropout, lam_fine, lam_global) for _ in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, 1)
        self.apply(initialise_linear)

    def forward(
        self, queries: Tensor, memory: Memory, norm: nn.LayerNorm, need_attention: bool = False
    ) -> QueryAnswers:
        """Answers queries.

        Args:
            queries: Normalised queries (1,Q,D).
            memory: Normalised patches and their mean.
            norm: The shared LayerNorm, applied to the last layer's output.
            need_attention: Whether to return the last layer's fine attention as well.
        """
        x, attention = queries, None
        for layer in self.layers:
            if need_attention and layer is self.layers[-1]:
                attention = layer.attention(x, memory)
            x = layer(x, memory)
        return QueryAnswers(self.head(self.dropout(norm(x))).squeeze(-1), attention)


def check_heads(width: int, heads: int) -> None:
    """Checks that heads share the width evenly.

    Raises:
        SettingsError: they do not.
    """
    if width % heads:
        raise SettingsError(f"heads: width {width} is not divisible by {heads} heads")


def initialise_linear(module: nn.Module) -> None:
    """Draws the weights of a linear layer from a normal distribution (std 0.02) and sets its bias to zero."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=INITIAL_STD)
        nn.init.zeros_(module.bias)
