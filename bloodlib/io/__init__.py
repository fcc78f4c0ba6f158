"""Read and write smears with their masks."""
