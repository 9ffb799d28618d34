"""What machine this is: GPU data, devices, telemetry, the environment's record, what is missing."""
