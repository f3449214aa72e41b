// What the files that bind the native part to Python share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "layer.h"
#include "plans.h"

namespace throughtime::bindings {

namespace nb = nanobind;
using namespace nb::literals;

template <int dimensions>
using Floats = nb::ndarray<const float, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;
template <int dimensions>
using Whole = nb::ndarray<const std::int64_t, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;
using Tensor = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;

// A new NumPy array, filled with zeros.
template <class T>
struct NewArray {
  explicit NewArray(std::vector<std::size_t> shape_) : shape(std::move(shape_)) {
    std::size_t size = 1;
    for (std::size_t side : shape) size *= side;
    memory.reset(new T[std::max<std::size_t>(size, 1)]());
  }
  T* data() { return memory.get(); }
  nb::ndarray<nb::numpy, T> give() {
    T* raw = memory.release();
    nb::capsule owner(raw, [](void* pointer) noexcept { delete[] static_cast<T*>(pointer); });
    return nb::ndarray<nb::numpy, T>(raw, shape.size(), shape.data(), owner);
  }
  std::vector<std::size_t> shape;
  std::unique_ptr<T[]> memory;
};

std::string describe(const std::vector<std::int64_t>& shape);

// Tensors by name, checked as they are taken. The arrays have to outlive what points into them.
class Tensors {
 public:
  explicit Tensors(const nb::dict& given) : given_(given) {}

  bool has(const char* name) const { return given_.contains(name); }

  std::int64_t side(const char* name, std::size_t dimension) {
    const Tensor& found = get(name);
    if (found.ndim() <= dimension) throw std::invalid_argument(std::string(name) + " has too few dimensions");
    return static_cast<std::int64_t>(found.shape(dimension));
  }

  const float* take(const char* name, const std::vector<std::int64_t>& shape) {
    const Tensor& found = get(name);
    std::vector<std::int64_t> actual;
    for (std::size_t k = 0; k < found.ndim(); ++k)
      actual.push_back(static_cast<std::int64_t>(found.shape(k)));
    if (actual != shape)
      throw std::invalid_argument(std::string(name) + " has the shape " + describe(actual) + ", expected " +
                                  describe(shape));
    return found.data();
  }

  const float* take_if_there(const char* name, const std::vector<std::int64_t>& shape) {
    return has(name) ? take(name, shape) : nullptr;
  }

 private:
  const Tensor& get(const char* name) {
    if (!has(name)) throw std::invalid_argument(std::string("tensor ") + name + " is missing");
    try {
      kept_.push_back(nb::cast<Tensor>(given_[name]));
    } catch (const nb::cast_error&) {
      throw std::invalid_argument(std::string(name) + " is not a contiguous float32 array");
    }
    return kept_.back();
  }

  const nb::dict& given_;
  std::vector<Tensor> kept_;
};

struct CellOptions {
  std::string cell, activation;
  bool reset_after;
  double keep_hidden, keep_cell;
};

// Beyond this a product of sizes could leave 31 bits; no recurrent layer comes near it.
constexpr std::int64_t kLargestSide = 1 << 24;

// The tensors of a layer, checked against each other. Throws std::invalid_argument, naming the tensor.
LayerTensors layer_tensors(Tensors& tensors, const CellOptions& options);

// A plan of throughtime.runtime.planning: its numbers, and float32 arrays. They have to outlive it.
FlatPlan plan_of(const Whole<1>& numbers, const std::vector<Tensor>& arrays);

// By its name; "" is the widest that this CPU runs.
const Kernels& kernels_of(const std::string& isa);

void bind_layers(nb::module_& module);
void bind_engine(nb::module_& module);
void bind_training(nb::module_& module);

}  // namespace throughtime::bindings
