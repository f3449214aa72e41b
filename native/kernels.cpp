#include "kernels.h"

#include <cstdlib>
#include <iterator>
#include <stdexcept>
#include <string>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace throughtime {

extern const Kernels kernels_scalar;
#if defined(THROUGHTIME_SCALAR_ONLY)
#elif defined(__x86_64__)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
extern const Kernels kernels_avx512_vnni;
extern const Kernels kernels_avx512_bf16;
#elif defined(__aarch64__)
extern const Kernels kernels_neon;
#endif

namespace {

struct Version {
  const Kernels* kernels;
  bool (*runs_here)();
};

#if defined(__x86_64__) && !defined(THROUGHTIME_SCALAR_ONLY)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
bool has_avx512_bf16() {
  // Not every compiler's __builtin_cpu_supports knows this name.
  unsigned a = 0, b = 0, c = 0, d = 0;
  return has_avx512_vnni() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5)) != 0;
}
#endif
bool always() { return true; }

// Narrowest first.
constexpr Version kVersions[] = {
    {&kernels_scalar, always},
#if defined(THROUGHTIME_SCALAR_ONLY)
#elif defined(__x86_64__)
    {&kernels_avx2, has_avx2},
    {&kernels_avx512, has_avx512},
    {&kernels_avx512_vnni, has_avx512_vnni},
    {&kernels_avx512_bf16, has_avx512_bf16},
#elif defined(__aarch64__)
    {&kernels_neon, always},
#endif
};

const Kernels& pick() {
  const char* wanted = std::getenv("THROUGHTIME_ISA");
  if (wanted != nullptr && *wanted != '\0') return kernels_named(wanted);
  const Kernels* best = nullptr;
  for (const Version& version : kVersions)
    if (version.runs_here()) best = version.kernels;
  return *best;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& picked = pick();
  return picked;
}

const char* available_kernels() {
  static const std::string names = [] {
    std::string joined;
    for (const Version& version : kVersions)
      if (version.runs_here()) joined.append(joined.empty() ? "" : " ").append(version.kernels->name);
    return joined;
  }();
  return names.c_str();
}

const Kernels& kernels_named(const char* name) {
  for (const Version& version : kVersions)
    if (std::string(version.kernels->name) == name && version.runs_here()) return *version.kernels;
  throw std::runtime_error("instruction set '" + std::string(name) + "' does not run here: use one of " +
                           available_kernels());
}

}  // namespace throughtime
