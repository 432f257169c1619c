// NVIDIA's management library of a machine with two GPUs, for the tests of machines that have none.
// The second says nothing of its power.

#include <cstdint>

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }

int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = 2;
  return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void** device) {
  *device = reinterpret_cast<void*>(uintptr_t{index} + 1);
  return 0;
}

int nvmlDeviceGetUtilizationRates(void* device, unsigned int* rates) {
  rates[0] = device == reinterpret_cast<void*>(1) ? 50 : 25;
  rates[1] = 10;
  return 0;
}

int nvmlDeviceGetMemoryInfo(void*, unsigned long long* memory) {
  memory[0] = 80ull << 30;
  memory[1] = 60ull << 30;
  memory[2] = 20ull << 30;
  return 0;
}

int nvmlDeviceGetTemperature(void*, int, unsigned int* celsius) {
  *celsius = 61;
  return 0;
}

int nvmlDeviceGetPowerUsage(void* device, unsigned int* milliwatts) {
  *milliwatts = 312500;
  return device == reinterpret_cast<void*>(1) ? 0 : 3;
}
}
