"""One wrapper for each backend, on one base."""
