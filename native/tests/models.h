// Language models of random weights, and streams of them.
#pragma once

#include <vector>

#include "engine.h"
#include "testing.h"

namespace throughtime::testing {

struct Model {
  std::vector<Network> networks;
  EngineTensors tensors;
  std::vector<Floats> kept;
  int vocabulary, embedding;

  Model(const Options& options, int vocabulary_, int embedding_, int hidden, int layers)
      : vocabulary(vocabulary_), embedding(embedding_) {
    int width = embedding > 0 ? embedding : vocabulary;
    for (int layer = 0; layer < layers; ++layer) {
      networks.push_back(make_network(options, width, hidden));
      width = networks.back().tensors.state_size;
      tensors.layers.push_back(networks.back().tensors);
      tensors.initial_hidden.push_back(layer == 0 ? keep(width) : nullptr);
      tensors.initial_cell.push_back(nullptr);
    }
    tensors.vocabulary_size = vocabulary;
    tensors.embedding_size = embedding;
    if (embedding > 0) tensors.embedding = keep(vocabulary * embedding);
    tensors.output_weight = keep(vocabulary * width);
    tensors.output_bias = keep(vocabulary);
  }
  const float* keep(int n) {
    kept.push_back(random_floats(static_cast<std::size_t>(n)));
    return kept.back().data();
  }
};

inline std::vector<double> some_uniforms(std::size_t n) {
  std::vector<double> uniforms(n);
  for (std::size_t k = 0; k < n; ++k) uniforms[k] = static_cast<double>(k * 37 % 101) / 101;
  return uniforms;
}

// What one stream gives: logits of a text read at once, then tokens drawn.
struct Stream {
  Floats logits;
  Tokens drawn;
  bool operator==(const Stream&) const = default;
};

inline Stream run_stream(Engine& engine, const Tokens& text) {
  const Tokens slots = engine.open(1);
  Stream stream{Floats(static_cast<std::size_t>(engine.vocabulary_size())), Tokens(12)};
  engine.read(slots, text.data(), text.size(), false, stream.logits.data());
  engine.generate(slots, 12, some_uniforms(12).data(), {}, nullptr, stream.drawn.data());
  engine.close(slots);
  return stream;
}

}  // namespace throughtime::testing
