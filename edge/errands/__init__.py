"""What is done on a meter besides polling it: one file per kind of errand (edge.poll.errand)."""
