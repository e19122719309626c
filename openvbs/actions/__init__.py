"""What a caller can do: permission, then rule, then rows and job in one transaction."""
