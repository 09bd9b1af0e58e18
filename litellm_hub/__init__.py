"""Everything about the hub: its deployment files, its client and the library that reads its usage log."""
