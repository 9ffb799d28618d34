"""A stand-in for the CUDA runtime, the driver and NVML, for rehearsals where there is no GPU; see device.h."""
