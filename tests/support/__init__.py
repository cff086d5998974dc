"""What tests of several modules make and measure with: worlds, loops, clips, stores, and the work that processes do."""
