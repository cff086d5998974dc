"""Training end to end from frames and sound: any method, on one process or many, resumed exactly."""
