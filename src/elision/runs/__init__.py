"""A run, one method on one partition of one data set, of either kind: trained, judged, asked and opened alike."""
