"""What outlives the process: see "Restarts" in the design document."""
