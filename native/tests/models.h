// Language models of random weights, and streams of them.
#pragma once

#include <vector>

#include "engine.h"
#include "layer.h"
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
      const LayerTensors made = networks.back().tensors;
      width = made.state_size;
      tensors.layers.push_back({[made](Precision precision, const Kernels& kernels) {
                                  return std::make_unique<Layer>(made, precision, kernels);
                                },
                                [made](const RecurrentLayer& one, int column, float* projected) {
                                  static_cast<const Layer&>(one).project_one_hot(column, made.weight_ih,
                                                                                 projected);
                                },
                                {layer == 0 ? keep(width) : nullptr}});
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

inline std::vector<Pcg64> some_generators(std::size_t n) {
  std::vector<Pcg64> generators;
  for (std::size_t k = 0; k < n; ++k) generators.push_back(Pcg64({k, 7 * k + 1, 3, 5}));
  return generators;
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
  std::int64_t count = 0;
  Ended ended{};
  engine.advance(slots, {12}, 12, true, stream.drawn.data(), &count, &ended);
  engine.close(slots);
  return stream;
}

}  // namespace throughtime::testing
