"""Numbers for Prometheus: what happened is counted where it happens, what is there is read when somebody asks."""
