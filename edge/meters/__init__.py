"""What differs between meter types, as data, and how raw answers become readings."""
