// The Python bindings of the native part: they check shapes, release the GIL and call.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include "sampler.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using LogitsArray = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using UniformsArray = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using TokensArray = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;

TokensArray sample(LogitsArray logits, UniformsArray uniforms, double temperature, std::int64_t top_k,
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

}  // namespace

NB_MODULE(_native, module) {
  module.doc() = "The native part of Throughtime.";
  module.def(
      "version", [] { return THROUGHTIME_VERSION; }, "The version that this module was built from.");
  // noconvert: a silent copy of a float64 batch would cost more than the sampling.
  module.def("sample", &sample, "logits"_a.noconvert(), "uniforms"_a.noconvert(), "temperature"_a = 1.0,
             "top_k"_a = 0, "top_p"_a = 1.0, "min_p"_a = 0.0,
             "Draw one token for each row of logits (N, V) float32 with uniforms (N,) float64 in [0, 1).\n\n"
             "Returns (N,) int64. Raises ValueError, naming the row, for NaN, +inf or nothing but -inf.\n"
             "See throughtime.generation.sampling.reference_sample for the definition.");
}
