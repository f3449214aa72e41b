// What the files of the engine share.
#pragma once

#include "engine.h"

namespace throughtime {

// The states that one call advances, as the layers want them.
struct Engine::Batch {
  std::size_t n = 0;
  std::vector<std::vector<float*>> states;  // for each layer: each part, each slot
  std::vector<float*> logits;               // where each slot's go
  std::vector<const float*> starts, inputs, tops;

  // Goes on with some of its slots, named in ascending order. Takes no memory.
  void keep_only(const std::vector<std::size_t>& kept) {
    for (std::vector<float*>& layer : states) {
      const std::size_t parts = layer.size() / n;
      std::size_t to = 0;
      for (std::size_t part = 0; part < parts; ++part)
        for (const std::size_t slot : kept) layer[to++] = layer[part * n + slot];
      layer.resize(to);
    }
    std::size_t to = 0;
    for (const std::size_t slot : kept) logits[to++] = logits[slot];
    n = kept.size();
  }
};

}  // namespace throughtime
