// The weights of a language model, packed: what engines share, and what nobody changes once it is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "memory.h"
#include "packed.h"
#include "recurrent_layer.h"

namespace throughtime {

// A layer of a language model, which makes it itself: the share of the tokens in the first is computed in
// fp32, whatever the others are kept in.
struct EngineLayer {
  std::function<std::unique_ptr<RecurrentLayer>(Precision, const Kernels&)> make;
  // `project` for an input that is 1 at a column and 0 elsewhere; empty where it takes a product.
  std::function<void(const RecurrentLayer&, int column, float* projected)> project_one_hot;
  // What a new slot's state is, for each of its tensors; null is zero.
  std::vector<const float*> initial;
};

struct EngineTensors {
  int vocabulary_size = 0;
  int embedding_size = 0;            // 0: one-hot input
  const float* embedding = nullptr;  // (V, E)
  std::vector<EngineLayer> layers;
  const float* output_weight = nullptr;  // (V, output of the last layer)
  const float* output_bias = nullptr;
};

struct LanguageModel {
  LanguageModel(const EngineTensors& tensors, Precision precision, const Kernels& kernels);

  std::size_t weight_bytes() const;  // what a step of one slot reads
  // Whether tokens' shares in the first layer are a table.
  bool has_table() const { return token_rows.size() > 0; }
  // Whether the last layer's output is part of its state, so that the logits follow from the state.
  bool top_in_state() const { return layers.back()->output_part() >= 0; }

  const Kernels& kernels;
  int vocabulary_size, embedding_size;
  std::vector<std::unique_ptr<RecurrentLayer>> layers;
  PackedMatrix output;
  Buffer<float> output_bias;
  Buffer<float> token_rows;  // (V, gate rows): the first layer's share of each token, where that is small
  Buffer<float> embedding;   // (V, E), where it is not
  std::vector<std::vector<std::size_t>> state_at;  // of each layer's tensors in a slot's state
  std::size_t state_floats = 0;                    // of a slot's state with padding
  std::size_t state_size = 0;                      // and without
  Buffer<float> initial;                           // a new slot's state

 private:
  void project_tokens(const EngineTensors& tensors);
};

}  // namespace throughtime
