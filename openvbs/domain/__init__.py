"""Rules: values and pure functions. No I/O, no SQL, no JSON."""
