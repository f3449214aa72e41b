#include "bindings.h"

namespace throughtime::bindings {

std::string describe(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t k = 0; k < shape.size(); ++k) text += (k ? ", " : "") + std::to_string(shape[k]);
  return text + ")";
}

FlatPlan plan_of(const Whole<1>& numbers, const std::vector<Tensor>& arrays) {
  std::vector<FlatPlan::Array> found;
  for (const Tensor& one : arrays) {
    found.push_back({one.data(), {}});
    for (std::size_t k = 0; k < one.ndim(); ++k) found.back().shape.push_back(one.shape(k));
  }
  return {numbers.data(), numbers.shape(0), std::move(found)};
}

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
  return isa.empty() ? kernels() : kernels_named(isa.c_str());
}

}  // namespace throughtime::bindings
