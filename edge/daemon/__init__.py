"""The daemon's own hands: what `edge.app` wires between the rooms. Sees what app sees."""
