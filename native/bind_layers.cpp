// A matrix product and a recurrent layer for Python.
#include <optional>

#include "bindings.h"
#include "scan.h"
#include "team.h"

namespace throughtime::bindings {
namespace {

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
    const std::vector<int> order = plain_rows(static_cast<int>(rows_));
    matrix_ = PackedMatrix(weight.data(), static_cast<int>(weight.shape(1)), order, kPlainVectors,
                           precision_named(precision));
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
      const PackedView& weights = matrix_.view();
      Prepared prepared;
      prepared.reserve(weights, n);
      const PreparedView view = prepared.view(weights);
      Buffer<float> products(n * bias_.size());
      const auto blocks = static_cast<std::size_t>(weights.blocks);
      run_team(threads, [&](const Member& member) {
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
  PackedMatrix matrix_;
  std::vector<float> bias_;
};

class PyLayer {
 public:
  PyLayer(const nb::dict& given, const std::string& cell, const std::string& activation, bool reset_after,
          double keep_hidden, double keep_cell, const std::string& precision, const std::string& isa) {
    Tensors tensors(given);
    layer_ = std::make_unique<Layer>(
        layer_tensors(tensors, {cell, activation, reset_after, keep_hidden, keep_cell}),
        precision_named(precision), kernels_of(isa));
  }

  explicit PyLayer(std::unique_ptr<RecurrentLayer> layer) : layer_(std::move(layer)) {}

  std::vector<int> state_sizes() const { return layer_->state_sizes(); }
  int output_size() const { return layer_->output_size(); }

  nb::tuple scan(Floats<3> inputs, std::vector<Floats<2>> state, std::optional<Whole<1>> lengths,
                 bool backward, int threads) const {
    const std::size_t T = inputs.shape(0), B = inputs.shape(1),
                      O = static_cast<std::size_t>(layer_->output_size());
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
        if (lengths->data()[row] < 0 || lengths->data()[row] > static_cast<std::int64_t>(T))
          throw std::invalid_argument("lengths row " + std::to_string(row) + " is " +
                                      std::to_string(lengths->data()[row]) + ", expected 0 to " +
                                      std::to_string(T));
    }
    NewArray<float> outputs({T, B, O});
    std::vector<float*> states;
    for (NewArray<float>& part : parts) states.push_back(part.data());
    {
      nb::gil_scoped_release released;
      throughtime::scan(*layer_, inputs.data(), T, B, lengths ? lengths->data() : nullptr, backward, states,
                        outputs.data(), threads);
    }
    nb::list finals;
    for (NewArray<float>& part : parts) finals.append(part.give());
    return nb::make_tuple(outputs.give(), nb::tuple(finals));
  }

 private:
  std::unique_ptr<RecurrentLayer> layer_;
};

}  // namespace

void bind_layers(nb::module_& module) {
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
      .def_static(
          "of_plan",
          [](const Whole<1>& numbers, const std::vector<Tensor>& arrays, const std::string& precision,
             const std::string& isa) {
            return std::make_unique<PyLayer>(std::make_unique<ProgramLayer>(
                program_of(plan_of(numbers, arrays)), precision_named(precision), kernels_of(isa)));
          },
          "numbers"_a.noconvert(), "arrays"_a, "precision"_a = "fp32", "isa"_a = "",
          "A layer of a plan of throughtime.runtime.planning.")
      .def_prop_ro("state_sizes", &PyLayer::state_sizes)
      .def_prop_ro("output_size", &PyLayer::output_size)
      .def("scan", &PyLayer::scan, "inputs"_a.noconvert(), "state"_a, "lengths"_a.none() = nb::none(),
           "backward"_a = false, "threads"_a = 1,
           "Carry the layer over (T, B, I); returns the outputs (T, B, S) and the final state.");
}

}  // namespace throughtime::bindings
