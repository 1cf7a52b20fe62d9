"""Tell tools and people that look for setup.py where the build is described; it holds no data."""

if __name__ == "__main__":
    raise SystemExit(
        "ensemble-1d is built from pyproject.toml. Use `pip install .` to install it, "
        "`pip install -e .` to develop it, or `pip wheel --no-deps .` to build a wheel."
    )
