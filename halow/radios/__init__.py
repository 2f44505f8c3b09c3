"""One file per radio vendor."""
