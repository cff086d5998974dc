"""What a likelihood answers beyond the class: what to measure next, why this class, which classes it may be."""
