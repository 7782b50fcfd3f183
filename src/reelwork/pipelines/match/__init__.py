"""The `match` pipeline: product pictures and videos in, which product appears where, and the evidence, out."""
