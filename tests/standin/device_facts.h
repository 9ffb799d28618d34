// device_facts.h - what the stand-in says of itself. The numbers are an H100's, so that code picks the paths it would
// pick there; the name is not, so that no row of a rehearsal passes for a measurement.
#pragma once
namespace standin::facts {
constexpr char kName[] = "mglubench stand-in (no GPU)";
constexpr char kUuid[] = "5a4d0000-0000-4000-8000-00000000cafe";
constexpr unsigned char kUuidBytes[16] = {0x5a, 0x4d, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0xca, 0xfe};
constexpr int kMajor = 9, kMinor = 0, kMultiprocessors = 132, kL2Bytes = 2 << 20, kDriver = 13000;
constexpr int kSharedPerBlock = 48 * 1024, kSharedPerMultiprocessor = 228 * 1024, kRegisters = 65536;
constexpr int kThreadsPerMultiprocessor = 2048, kClockKhz = 1980000, kMemoryClockKhz = 2619000, kBusBits = 5120;
}  // namespace standin::facts
