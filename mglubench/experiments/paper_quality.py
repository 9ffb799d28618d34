"""The paper's perplexities (arXiv 2506.23225), for putting beside losses that are ours; theirs are never used as ours.

The small model: 12 layers, h = 768, d = 3072, 10 billion tokens of FineWeb-Edu, one run each, no spread printed.
"""

from __future__ import annotations

SOURCE = (
    "paper: perplexity per token as printed in arXiv 2506.23225, tables 3, 12 and B.2 (small model, 10 billion tokens, "
    "one run each); tied from table 1, which has GELU at 25.6 and SwiGLU at 23.6. Other text, tokens and sizes: only "
    "the order can be compared"
)
PERPLEXITY = {
    "gelu": 25.8,
    "swiglu": 23.7,
    "tied": 27.0,
    "nm1": 25.0,
    "nm2": 24.5,
    "nm4": 23.9,
    "nm8": 23.5,
    "nm1-fixed": 25.1,
    "nm2-fixed": 25.1,
    "nm4-top1-softmax-last": 25.2,
    "nm4-top2-softmax-last": 24.0,
    "nm4-top4-softmax-last": 23.8,
}
