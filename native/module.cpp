// The Python module: sampling, what tests and benchmarks ask, and the classes that bind_*.cpp add.
#include <atomic>
#include <chrono>
#include <cmath>
#if defined(__linux__)
#include <malloc.h>
#endif

#include "bindings.h"
#include "sampler.h"
#include "team.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace throughtime::bindings;
using throughtime::Kernels;

namespace {

using UniformsArray = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using TokensArray = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;

TokensArray sample(Floats<2> logits, UniformsArray uniforms, double temperature, std::int64_t top_k,
                   double top_p, double min_p) {
  const std::size_t rows = logits.shape(0);
  if (uniforms.shape(0) != rows) {
    throw std::invalid_argument("logits have " + std::to_string(rows) + " rows but there are " +
                                std::to_string(uniforms.shape(0)) + " uniforms");
  }
  auto tokens = std::make_unique<std::int64_t[]>(rows);
  {
    nb::gil_scoped_release released;
    throughtime::sample_batch(logits.data(), uniforms.data(), rows, logits.shape(1),
                              {temperature, top_k, top_p, min_p}, tokens.get());
  }
  nb::capsule owner(tokens.get(), [](void* memory) noexcept { delete[] static_cast<std::int64_t*>(memory); });
  return TokensArray(tokens.release(), {rows}, owner);
}

// For each row of logits (N, V) and its target: -log p of the target, and the mean of -log p over what might
// have come; zeros where the target is below 0.
nb::ndarray<nb::numpy, float> surprise(
    Floats<2> logits, nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> targets,
    int threads, const std::string& isa) {
  const Kernels& kernels = kernels_of(isa);
  const std::size_t rows = logits.shape(0), V = logits.shape(1);
  if (targets.shape(0) != rows)
    throw std::invalid_argument("there are " + std::to_string(targets.shape(0)) + " targets for " +
                                std::to_string(rows) + " rows of logits");
  if (V < 1 || V > static_cast<std::size_t>(kLargestSide))
    throw std::invalid_argument("logits have " + std::to_string(V) + " columns");
  const std::vector<std::int64_t> wanted(targets.data(), targets.data() + rows);
  for (const std::int64_t one : wanted)
    if (one >= static_cast<std::int64_t>(V))
      throw std::invalid_argument("target " + std::to_string(one) + " is outside of " + std::to_string(V) +
                                  " columns");
  NewArray<float> result({rows, 2});
  float* found = result.data();
  {
    nb::gil_scoped_release released;
    throughtime::run_team(threads, [&](const throughtime::Member& member) {
      for (std::size_t row = member.begin(rows); row < member.end(rows); ++row) {
        float* both = found + 2 * row;
        both[0] = both[1] = 0.0f;
        if (wanted[row] < 0) continue;
        const float* values = logits.data() + row * V;
        float sums[3];
        kernels.softmax_sums(values, static_cast<int>(V), sums);
        const float normaliser = std::log(sums[1]);
        both[0] = normaliser - (values[wanted[row]] - sums[0]);
        both[1] = normaliser - sums[2] / sums[1];
      }
    });
  }
  return result.give();
}

nb::ndarray<nb::numpy, float> activation(const std::string& name, Floats<1> values, const std::string& isa) {
  const Kernels& kernels = kernels_of(isa);
  const std::size_t n = values.shape(0),
                    padded = (n + throughtime::kLanes - 1) / throughtime::kLanes * throughtime::kLanes;
  throughtime::Buffer<float> work(padded);
  std::copy_n(values.data(), n, work.data());
  if (name == "exp")
    kernels.exp(work.data(), padded);
  else if (name == "tanh")
    kernels.tanh(work.data(), padded);
  else if (name == "sigmoid")
    kernels.sigmoid(work.data(), padded);
  else
    throw std::invalid_argument("activation '" + name + "' is unknown: use exp, sigmoid or tanh");
  NewArray<float> result({n});
  std::copy_n(work.data(), n, result.data());
  return result.give();
}

// Bytes a second that a plain read of so many bytes reaches, the median of several.
double read_bandwidth(std::int64_t bytes, int threads) {
  constexpr std::size_t kGrain = 64;
  constexpr int kRounds = 15;
  if (bytes < 0) throw std::invalid_argument("bytes must be 0 or above");
  nb::gil_scoped_release released;
  const std::size_t grains = std::max<std::size_t>(1, static_cast<std::size_t>(bytes) / (4 * kGrain));
  throughtime::Buffer<std::uint32_t> lanes(grains * kGrain);
  const Kernels& kernels = throughtime::kernels();
  // A short read would measure the clock: it is repeated until a millisecond has passed.
  std::vector<double> rates;
  std::atomic<std::uint32_t> sink{0};
  int repeats = 1;
  while (static_cast<int>(rates.size()) < kRounds) {
    const auto begin = std::chrono::steady_clock::now();
    throughtime::run_team(threads, [&](const throughtime::Member& member) {
      const std::size_t first = member.begin(grains) * kGrain, size = member.end(grains) * kGrain - first;
      for (int repeat = 0; repeat < repeats; ++repeat) sink += kernels.read(lanes.data() + first, size);
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (seconds < 1e-3)
      repeats *= 2;
    else
      rates.push_back(static_cast<double>(grains * kGrain * 4) * repeats / seconds);
  }
  std::nth_element(rates.begin(), rates.begin() + kRounds / 2, rates.end());
  return rates[kRounds / 2];
}

}  // namespace

NB_MODULE(_native, module) {
  module.doc() = "The native part of Throughtime.";
  module.def("version", [] { return THROUGHTIME_VERSION; }, "The version that this module was built from.");
  // noconvert: a silent copy of a float64 batch would cost more than the sampling.
  module.def("sample", &sample, "logits"_a.noconvert(), "uniforms"_a.noconvert(), "temperature"_a = 1.0,
             "top_k"_a = 0, "top_p"_a = 1.0, "min_p"_a = 0.0,
             "Draw one token for each row of logits (N, V) float32 with uniforms (N,) float64 in [0, 1).\n\n"
             "Returns (N,) int64. Raises ValueError, naming the row, for NaN, +inf or nothing but -inf.\n"
             "See throughtime.runtime.sampling.reference_sample for the definition.");
  module.def(
      "isa", [] { return std::string(throughtime::kernels().name); },
      "The instruction set in use: the widest of this CPU, or what THROUGHTIME_ISA names.");
  module.def(
      "available_isas", [] { return std::string(throughtime::available_kernels()); },
      "The instruction sets that this CPU runs, narrowest first, separated by spaces.");
  module.def(
      "surprise", &surprise, "logits"_a.noconvert(), "targets"_a, "threads"_a = 1, "isa"_a = "",
      "For each row of logits (N, V) float32 and its target (N,) int64: -log softmax of the target, and\n"
      "the entropy of the softmax: (N, 2). A target below 0 gets zeros.");
  module.def("activation", &activation, "name"_a, "values"_a, "isa"_a = "",
             "exp, sigmoid or tanh of (N,) float32, as the kernels compute it.");
  module.def(
      "give_back_memory",
      [] {
#if defined(__GLIBC__)
        malloc_trim(0);
#endif
      },
      "Hand memory that has been freed back to the system.");
  module.def("read_bandwidth", &read_bandwidth, "bytes"_a, "threads"_a = 1,
             "Bytes a second that a plain read of so many bytes reaches here.");

  throughtime::bindings::bind_layers(module);
  throughtime::bindings::bind_engine(module);
  throughtime::bindings::bind_training(module);
}
