"""The HTTP face: submit videos, watch and cancel jobs, read results. It decides nothing that the runtime does not."""
