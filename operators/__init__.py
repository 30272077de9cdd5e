"""The built-in operators, one module each: `from operators.macswap import macswap`."""

__all__: list[str] = []
