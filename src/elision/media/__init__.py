"""From recordings to what a model sees: a JPEG per window, a log-mel spectrogram per window, a JPEG per image."""
