// The Python bindings of the native part: they check shapes, release the GIL and call.
#include <nanobind/nanobind.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine.h"
#include "layer.h"
#include "sampler.h"
#include "scan.h"
#include "team.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using throughtime::CellKind;
using throughtime::Engine;
using throughtime::Kernels;
using throughtime::Layer;
using throughtime::LayerTensors;
using throughtime::Precision;

template <int dimensions>
using Floats = nb::ndarray<const float, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;
template <int dimensions>
using Whole = nb::ndarray<const std::int64_t, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;
using Tensor = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using UniformsArray = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using TokensArray = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;

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

std::string describe(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t k = 0; k < shape.size(); ++k) text += (k ? ", " : "") + std::to_string(shape[k]);
  return text + ")";
}

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

LayerTensors layer_tensors(Tensors& tensors, const CellOptions& options) {
  LayerTensors layer;
  std::int64_t gates = 1;
  const std::int64_t rows = tensors.side("weight_hh", 0);
  const std::int64_t S = tensors.side("weight_hh", 1), I = tensors.side("weight_ih", 1);
  if (options.cell == "rnn") {
    layer.kind = CellKind::kRnn;
    layer.relu = options.activation == "relu";
  } else if (options.cell == "gru") {
    layer.kind = CellKind::kGru;
    layer.reset_after = options.reset_after;
    gates = 3;
  } else if (options.cell == "lstm") {
    layer.kind = CellKind::kLstm;
    // Without a projection the rows say how many gates there are; with one, the projection says how many
    // units.
    const std::int64_t units = tensors.has("weight_hr") ? tensors.side("weight_hr", 1) : S;
    layer.coupled = units <= kLargestSide && rows == 3 * units;
    gates = layer.coupled ? 3 : 4;
  } else {
    throw std::invalid_argument("cell '" + options.cell + "' is unknown: use rnn, lstm or gru");
  }
  if (rows <= 0 || rows % gates != 0 || rows > kLargestSide || I <= 0 || I > kLargestSide)
    throw std::invalid_argument("weight_hh has " + std::to_string(rows) +
                                " rows, which is no size of a cell with " + std::to_string(gates) + " gates");
  const std::int64_t H = rows / gates;
  // Of an LSTM only: in another cell's tensors the name means nothing, and its state is as wide as it has
  // units.
  const bool projects = layer.kind == CellKind::kLstm && tensors.has("weight_hr");
  if (projects && (S <= 0 || S > kLargestSide))
    throw std::invalid_argument("weight_hh has " + std::to_string(S) +
                                " columns, which is no size of a state");
  if (!projects && S != H)
    throw std::invalid_argument("weight_hh has the shape " + describe({rows, S}) + ", expected " +
                                describe({rows, H}));
  layer.input_size = static_cast<int>(I);
  layer.hidden_size = static_cast<int>(H);
  layer.state_size = static_cast<int>(S);
  layer.keep_hidden = static_cast<float>(options.keep_hidden);
  layer.keep_cell = static_cast<float>(options.keep_cell);
  layer.weight_ih = tensors.take("weight_ih", {rows, I});
  layer.weight_hh = tensors.take("weight_hh", {rows, S});
  layer.bias_ih = tensors.take_if_there("bias_ih", {rows});
  layer.bias_hh = tensors.take_if_there("bias_hh", {rows});
  if (layer.kind != CellKind::kLstm) return layer;
  layer.weight_hr = tensors.take_if_there("weight_hr", {S, H});
  layer.weight_peephole = tensors.take_if_there("weight_peephole", {gates - 1, H});
  if (tensors.has("norm_ih.weight")) {
    layer.norm_ih = tensors.take("norm_ih.weight", {rows});
    layer.norm_hh = tensors.take("norm_hh.weight", {rows});
    layer.norm_cell = tensors.take("norm_cell.weight", {H});
    layer.norm_cell_bias = tensors.take("norm_cell.bias", {H});
  }
  return layer;
}

const Kernels& kernels_of(const std::string& isa) {
  return isa.empty() ? throughtime::kernels() : throughtime::kernels_named(isa.c_str());
}

// ---- sampling

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

// ---- y = W x + b

class PyLinear {
 public:
  PyLinear(Floats<2> weight, std::optional<Floats<1>> bias, const std::string& precision,
           const std::string& isa)
      : kernels_(kernels_of(isa)), rows_(weight.shape(0)) {
    if (weight.shape(0) > kLargestSide || weight.shape(1) > kLargestSide || weight.shape(1) == 0)
      throw std::invalid_argument(
          "weight has the shape " +
          describe({static_cast<std::int64_t>(weight.shape(0)), static_cast<std::int64_t>(weight.shape(1))}) +
          ": too large, or without columns");
    if (bias && bias->shape(0) != rows_)
      throw std::invalid_argument("bias has " + std::to_string(bias->shape(0)) + " numbers, expected " +
                                  std::to_string(rows_));
    const std::vector<int> order = throughtime::plain_rows(static_cast<int>(rows_));
    matrix_ = throughtime::PackedMatrix(weight.data(), static_cast<int>(weight.shape(1)), order,
                                        throughtime::kPlainVectors, throughtime::precision_named(precision));
    bias_.assign(order.size(), 0.0f);
    if (bias) std::copy_n(bias->data(), rows_, bias_.begin());
  }

  nb::ndarray<nb::numpy, float> call(Floats<2> inputs, int threads) const {
    const std::size_t n = inputs.shape(0), columns = static_cast<std::size_t>(matrix_.columns());
    if (inputs.shape(1) != columns)
      throw std::invalid_argument("inputs have " + std::to_string(inputs.shape(1)) + " columns, expected " +
                                  std::to_string(columns));
    NewArray<float> outputs({n, rows_});
    if (n > 0) {
      nb::gil_scoped_release released;
      const throughtime::PackedView& weights = matrix_.view();
      throughtime::Prepared prepared;
      prepared.reserve(weights, n);
      const throughtime::PreparedView view = prepared.view(weights);
      throughtime::Buffer<float> products(n * bias_.size());
      const auto blocks = static_cast<std::size_t>(weights.blocks);
      throughtime::run_team(threads, [&](const throughtime::Member& member) {
        for (std::size_t row = member.begin(n); row < member.end(n); ++row) {
          kernels_.prepare(weights.precision, inputs.data() + row * columns, matrix_.columns(),
                           view.lanes + row * view.stride, weights.groups, view.scales + row);
          std::copy(bias_.begin(), bias_.end(), products.data() + row * bias_.size());
        }
        member.barrier();
        kernels_.accumulate(weights, view, static_cast<int>(n), static_cast<int>(member.begin(blocks)),
                            static_cast<int>(member.end(blocks)), products.data(), bias_.size());
        member.barrier();
        for (std::size_t row = member.begin(n); row < member.end(n); ++row)
          std::copy_n(products.data() + row * bias_.size(), rows_, outputs.data() + row * rows_);
      });
    }
    return outputs.give();
  }

 private:
  const Kernels& kernels_;
  std::size_t rows_;
  throughtime::PackedMatrix matrix_;
  std::vector<float> bias_;
};

// ---- one layer in one direction

class PyLayer {
 public:
  PyLayer(const nb::dict& given, const std::string& cell, const std::string& activation, bool reset_after,
          double keep_hidden, double keep_cell, const std::string& precision, const std::string& isa) {
    Tensors tensors(given);
    layer_ = std::make_unique<Layer>(
        layer_tensors(tensors, {cell, activation, reset_after, keep_hidden, keep_cell}),
        throughtime::precision_named(precision), kernels_of(isa));
  }

  std::vector<int> state_sizes() const {
    std::vector<int> sizes{layer_->state_size()};
    if (layer_->has_cell_state()) sizes.push_back(layer_->hidden_size());
    return sizes;
  }

  nb::tuple scan(Floats<3> inputs, std::vector<Floats<2>> state, std::optional<Whole<1>> lengths,
                 bool backward, int threads) const {
    const std::size_t T = inputs.shape(0), B = inputs.shape(1),
                      S = static_cast<std::size_t>(layer_->state_size());
    if (inputs.shape(2) != static_cast<std::size_t>(layer_->input_size()))
      throw std::invalid_argument("inputs have " + std::to_string(inputs.shape(2)) + " features, expected " +
                                  std::to_string(layer_->input_size()));
    const std::vector<int> sizes = state_sizes();
    if (state.size() != sizes.size())
      throw std::invalid_argument("the state has " + std::to_string(state.size()) + " parts, expected " +
                                  std::to_string(sizes.size()));
    std::vector<NewArray<float>> parts;
    for (std::size_t part = 0; part < sizes.size(); ++part) {
      const auto size = static_cast<std::size_t>(sizes[part]);
      if (state[part].shape(0) != B || state[part].shape(1) != size)
        throw std::invalid_argument("a part of the state has the shape " +
                                    describe({static_cast<std::int64_t>(state[part].shape(0)),
                                              static_cast<std::int64_t>(state[part].shape(1))}) +
                                    ", expected " + describe({static_cast<std::int64_t>(B), sizes[part]}));
      parts.emplace_back(std::vector<std::size_t>{B, size});
      std::copy_n(state[part].data(), B * size, parts.back().data());
    }
    if (lengths) {
      if (lengths->shape(0) != B)
        throw std::invalid_argument("there are " + std::to_string(lengths->shape(0)) + " lengths for " +
                                    std::to_string(B) + " sequences");
      for (std::size_t row = 0; row < B; ++row)
        if (lengths->data()[row] < 1 || lengths->data()[row] > static_cast<std::int64_t>(T))
          throw std::invalid_argument("lengths row " + std::to_string(row) + " is " +
                                      std::to_string(lengths->data()[row]) + ", expected 1 to " +
                                      std::to_string(T));
    }
    NewArray<float> outputs({T, B, S});
    {
      nb::gil_scoped_release released;
      throughtime::scan(*layer_, inputs.data(), T, B, lengths ? lengths->data() : nullptr, backward,
                        parts[0].data(), parts.size() > 1 ? parts[1].data() : nullptr, outputs.data(),
                        threads);
    }
    nb::list finals;
    for (NewArray<float>& part : parts) finals.append(part.give());
    return nb::make_tuple(outputs.give(), nb::tuple(finals));
  }

 private:
  std::unique_ptr<Layer> layer_;
};

// ---- the language model

std::unique_ptr<Engine> make_engine(const nb::dict& given, const nb::list& layers, const std::string& cell,
                                    const std::string& activation, bool reset_after, double keep_hidden,
                                    double keep_cell, const std::string& precision, int threads,
                                    const std::string& isa) {
  Tensors tensors(given);
  throughtime::EngineTensors engine;
  const std::int64_t V = tensors.side("output.weight", 0);
  if (V <= 0 || V > kLargestSide)
    throw std::invalid_argument("output.weight has " + std::to_string(V) + " rows: no size of a vocabulary");
  engine.vocabulary_size = static_cast<int>(V);
  if (tensors.has("embedding.weight")) {
    const std::int64_t E = tensors.side("embedding.weight", 1);
    engine.embedding_size = static_cast<int>(E);
    engine.embedding = tensors.take("embedding.weight", {V, E});
    if (E <= 0 || E > kLargestSide)
      throw std::invalid_argument("embedding.weight has no columns, or too many");
  }
  std::vector<nb::dict> dicts;
  std::vector<std::unique_ptr<Tensors>> kept;
  std::int64_t width = engine.embedding_size > 0 ? engine.embedding_size : V;
  for (nb::handle one : layers) dicts.push_back(nb::cast<nb::dict>(one));
  if (dicts.empty()) throw std::invalid_argument("there are no layers");
  for (const nb::dict& dict : dicts) {
    kept.push_back(std::make_unique<Tensors>(dict));
    const LayerTensors layer =
        layer_tensors(*kept.back(), {cell, activation, reset_after, keep_hidden, keep_cell});
    if (layer.input_size != width)
      throw std::invalid_argument("layer " + std::to_string(engine.layers.size()) + " reads " +
                                  std::to_string(layer.input_size) + " numbers, and gets " +
                                  std::to_string(width));
    width = layer.state_size;
    engine.layers.push_back(layer);
    engine.initial_hidden.push_back(kept.back()->take_if_there("initial_hidden", {layer.state_size}));
    engine.initial_cell.push_back(layer.kind == CellKind::kLstm
                                      ? kept.back()->take_if_there("initial_cell", {layer.hidden_size})
                                      : nullptr);
  }
  engine.output_weight = tensors.take("output.weight", {V, width});
  engine.output_bias = tensors.take_if_there("output.bias", {V});
  nb::gil_scoped_release released;
  return std::make_unique<Engine>(engine, throughtime::precision_named(precision), threads, kernels_of(isa));
}

std::vector<std::int64_t> slot_list(const Whole<1>& slots) {
  return {slots.data(), slots.data() + slots.shape(0)};
}

nb::ndarray<nb::numpy, float> read_tokens(Engine& engine, Whole<1> slots, Whole<2> tokens, bool all) {
  const std::size_t n = slots.shape(0), T = tokens.shape(1),
                    V = static_cast<std::size_t>(engine.vocabulary_size());
  if (tokens.shape(0) != n)
    throw std::invalid_argument("there are " + std::to_string(tokens.shape(0)) + " rows of tokens for " +
                                std::to_string(n) + " slots");
  NewArray<float> logits(all ? std::vector<std::size_t>{n, T, V} : std::vector<std::size_t>{n, V});
  {
    nb::gil_scoped_release released;
    engine.read(slot_list(slots), tokens.data(), T, all, logits.data());
  }
  return logits.give();
}

nb::ndarray<nb::numpy, std::int64_t> generate(
    Engine& engine, Whole<1> slots,
    nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu> uniforms, double temperature,
    std::int64_t top_k, double top_p, double min_p, double repetition_penalty,
    std::optional<nb::ndarray<std::uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>> seen) {
  const std::size_t n = slots.shape(0), steps = uniforms.shape(0);
  if (uniforms.shape(1) != n)
    throw std::invalid_argument("there are " + std::to_string(uniforms.shape(1)) + " uniforms a step for " +
                                std::to_string(n) + " slots");
  if (repetition_penalty != 1.0 && !seen)
    throw std::invalid_argument("a repetition penalty needs to know the tokens seen");
  if (seen && (seen->shape(0) != n || seen->shape(1) != static_cast<std::size_t>(engine.vocabulary_size())))
    throw std::invalid_argument("seen has another shape than (slots, vocabulary)");
  NewArray<std::int64_t> tokens({steps, n});
  {
    nb::gil_scoped_release released;
    engine.generate(slot_list(slots), steps, uniforms.data(),
                    {{temperature, top_k, top_p, min_p}, static_cast<float>(repetition_penalty)},
                    seen ? seen->data() : nullptr, tokens.data());
  }
  return tokens.give();
}

nb::ndarray<nb::numpy, float> get_states(const Engine& engine, Whole<1> slots) {
  NewArray<float> states({slots.shape(0), engine.state_size()});
  for (std::size_t row = 0; row < slots.shape(0); ++row)
    engine.get_state(slots.data()[row], states.data() + row * engine.state_size());
  return states.give();
}

nb::ndarray<nb::numpy, float> get_logits(const Engine& engine, Whole<1> slots) {
  const auto V = static_cast<std::size_t>(engine.vocabulary_size());
  NewArray<float> logits({slots.shape(0), V});
  for (std::size_t row = 0; row < slots.shape(0); ++row)
    engine.get_logits(slots.data()[row], logits.data() + row * V);
  return logits.give();
}

void check_rows(const char* what, Floats<2> values, std::size_t rows, std::size_t columns) {
  if (values.shape(0) != rows || values.shape(1) != columns)
    throw std::invalid_argument(
        std::string(what) + " have the shape " +
        describe({static_cast<std::int64_t>(values.shape(0)), static_cast<std::int64_t>(values.shape(1))}) +
        ", expected " + describe({static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)}));
}

void set_states(Engine& engine, Whole<1> slots, Floats<2> states) {
  check_rows("the states", states, slots.shape(0), engine.state_size());
  for (std::size_t row = 0; row < slots.shape(0); ++row)
    engine.set_state(slots.data()[row], states.data() + row * engine.state_size());
}

void set_logits(Engine& engine, Whole<1> slots, Floats<2> logits) {
  const auto V = static_cast<std::size_t>(engine.vocabulary_size());
  check_rows("the logits", logits, slots.shape(0), V);
  for (std::size_t row = 0; row < slots.shape(0); ++row)
    engine.set_logits(slots.data()[row], logits.data() + row * V);
}

// ---- for tests and benchmarks

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

  nb::class_<PyLinear>(module, "Linear", "y = W x + b with packed weights.")
      .def(nb::init<Floats<2>, std::optional<Floats<1>>, const std::string&, const std::string&>(),
           "weight"_a.noconvert(), "bias"_a.none(), "precision"_a = "fp32", "isa"_a = "")
      .def("__call__", &PyLinear::call, "inputs"_a.noconvert(), "threads"_a = 1,
           "(N, I) float32 -> (N, O) float32.");

  nb::class_<PyLayer>(module, "Layer", "A recurrent layer in one direction with packed weights.")
      .def(nb::init<const nb::dict&, const std::string&, const std::string&, bool, double, double,
                    const std::string&, const std::string&>(),
           "tensors"_a, "cell"_a, "activation"_a = "tanh", "reset_after"_a = true, "keep_hidden"_a = 0.0,
           "keep_cell"_a = 0.0, "precision"_a = "fp32", "isa"_a = "")
      .def_prop_ro("state_sizes", &PyLayer::state_sizes)
      .def("scan", &PyLayer::scan, "inputs"_a.noconvert(), "state"_a, "lengths"_a.none() = nb::none(),
           "backward"_a = false, "threads"_a = 1,
           "Carry the layer over (T, B, I); returns the outputs (T, B, S) and the final state.");

  nb::class_<Engine>(module, "Engine",
                     "A language model that holds many states; see throughtime.runtime.Engine.")
      .def(nb::new_(&make_engine), "tensors"_a, "layers"_a, "cell"_a, "activation"_a = "tanh",
           "reset_after"_a = true, "keep_hidden"_a = 0.0, "keep_cell"_a = 0.0, "precision"_a = "fp32",
           "threads"_a = 0, "isa"_a = "")
      .def_prop_ro("vocabulary_size", &Engine::vocabulary_size)
      .def_prop_ro("state_size", &Engine::state_size)
      .def_prop_ro("weight_bytes", &Engine::weight_bytes)
      .def_prop_ro("isa", [](const Engine& engine) { return std::string(engine.isa()); })
      .def("threads", &Engine::threads, "slots"_a = 1)
      .def("open", &Engine::open)
      .def("close", &Engine::close, "slot"_a)
      .def("copy", &Engine::copy, "source"_a, "target"_a)
      .def("states", &get_states, "slots"_a)
      .def("set_states", &set_states, "slots"_a, "states"_a.noconvert())
      .def("logits", &get_logits, "slots"_a)
      .def("set_logits", &set_logits, "slots"_a, "logits"_a.noconvert())
      .def("read", &read_tokens, "slots"_a, "tokens"_a, "all"_a = false)
      .def("generate", &generate, "slots"_a, "uniforms"_a, "temperature"_a = 1.0, "top_k"_a = 0,
           "top_p"_a = 1.0, "min_p"_a = 0.0, "repetition_penalty"_a = 1.0, "seen"_a.none() = nb::none());
}
