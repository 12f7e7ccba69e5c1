"""Commands: what make calls, without a browser."""
