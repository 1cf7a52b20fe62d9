"""Programs in files: the `.e1d` format, whose prose is docs/format.md."""
