"""The probes that ship, one a module; found by entry point, as any other package's are."""
