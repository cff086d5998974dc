"""What people do today with data that lacks modalities, on the same samples as Elision's methods."""
