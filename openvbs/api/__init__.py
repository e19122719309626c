"""HTTP, thin: parse, call one action, render. Two dialects and one table of routes."""
