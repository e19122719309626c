"""Records. The only SQL; one module per group of tables."""
