// nvml.cpp - libnvidia-ml.so.1 of the stand-in. What it does not answer, pynvml reports as not found.
#include <cstdio>
#include <cstring>

#include "device_facts.h"

namespace facts = standin::facts;

namespace {
char the_device;
constexpr int kNotSupported = 3, kNotFound = 6;
struct Memory {
    unsigned long long total, free, used;
};
}  // namespace

extern "C" {
int nvmlInitWithFlags(unsigned) { return 0; }
int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int) { return "stand-in NVML error"; }
int nvmlSystemGetDriverVersion(char* text, unsigned length) { return snprintf(text, length, "stand-in"), 0; }
int nvmlDeviceGetCount_v2(unsigned* count) { return *count = 1, 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
    return *device = &the_device, index ? kNotFound : 0;
}
int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
    *device = &the_device;
    return !strncmp(uuid, "GPU-", 4) && !strcmp(uuid + 4, facts::kUuid) ? 0 : kNotFound;
}
int nvmlDeviceGetName(void*, char* text, unsigned length) { return snprintf(text, length, "%s", facts::kName), 0; }
int nvmlDeviceGetUUID(void*, char* text, unsigned length) { return snprintf(text, length, "GPU-%s", facts::kUuid), 0; }
int nvmlDeviceGetClockInfo(void*, int kind, unsigned* mhz) {
    return *mhz = (kind == 2 ? facts::kMemoryClockKhz : facts::kClockKhz) / 1000, 0;
}
int nvmlDeviceGetMaxClockInfo(void* device, int kind, unsigned* mhz) {
    return nvmlDeviceGetClockInfo(device, kind, mhz);
}
int nvmlDeviceGetApplicationsClock(void*, int, unsigned*) { return kNotSupported; }
int nvmlDeviceGetPowerUsage(void*, unsigned* milliwatts) { return *milliwatts = 100000, 0; }
int nvmlDeviceGetEnforcedPowerLimit(void*, unsigned* milliwatts) { return *milliwatts = 700000, 0; }
int nvmlDeviceGetTemperature(void*, int, unsigned* celsius) { return *celsius = 40, 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) { return *reasons = 0, 0; }
int nvmlDeviceGetMigMode(void*, unsigned* now, unsigned* pending) { return *now = *pending = 0, 0; }
int nvmlDeviceGetMemoryInfo(void*, Memory* memory) { return *memory = {8ull << 30, 8ull << 30, 0}, 0; }
}
