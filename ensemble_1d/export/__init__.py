"""Programs in the languages of other runtimes."""
