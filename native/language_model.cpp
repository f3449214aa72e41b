#include "language_model.h"

#include <algorithm>

namespace throughtime {
namespace {

// Tokens whose share in the first layer is computed at once.
constexpr std::size_t kTokensTogether = 64;

}  // namespace

LanguageModel::LanguageModel(const EngineTensors& tensors, Precision precision, const Kernels& kernels_)
    : kernels(kernels_), vocabulary_size(tensors.vocabulary_size), embedding_size(tensors.embedding_size) {
  for (const EngineLayer& layer : tensors.layers) layers.push_back(layer.make(precision, kernels));
  const std::vector<int> order = plain_rows(vocabulary_size);
  output = PackedMatrix(tensors.output_weight, layers.back()->output_size(), order, kPlainVectors, precision);
  output_bias = Buffer<float>(order.size());
  if (tensors.output_bias != nullptr) std::copy_n(tensors.output_bias, vocabulary_size, output_bias.data());
  project_tokens(tensors);
  for (const auto& layer : layers) {
    state_at.emplace_back();
    for (const int size : layer->state_sizes()) {
      state_at.back().push_back(state_floats);
      state_floats += RecurrentLayer::padded(size);
      state_size += static_cast<std::size_t>(size);
    }
  }
  initial = Buffer<float>(state_floats);
  for (std::size_t layer = 0; layer < layers.size(); ++layer)
    for (std::size_t part = 0; part < tensors.layers[layer].initial.size(); ++part)
      if (const float* values = tensors.layers[layer].initial[part])
        std::copy_n(values, layers[layer]->state_sizes()[part], initial.data() + state_at[layer][part]);
}

// The first layer's share of a token depends on the token alone, so it is a table wherever that takes no more
// memory than the embeddings and the matrix that it stands for.
void LanguageModel::project_tokens(const EngineTensors& tensors) {
  const EngineLayer& layer = tensors.layers.front();
  const auto V = static_cast<std::size_t>(vocabulary_size), E = static_cast<std::size_t>(embedding_size);
  const std::size_t rows = layers.front()->projected_floats();
  if (E > 0 && V * rows > (V + rows) * E) {
    const std::size_t width = RecurrentLayer::padded(embedding_size);
    embedding = Buffer<float>(V * width);
    for (std::size_t token = 0; token < V; ++token)
      std::copy_n(tensors.embedding + token * E, E, embedding.data() + token * width);
    return;
  }
  token_rows = Buffer<float>(V * rows);
  if (E == 0 && layer.project_one_hot) {
    for (std::size_t token = 0; token < V; ++token)
      layer.project_one_hot(*layers.front(), static_cast<int>(token), token_rows.data() + token * rows);
    return;
  }
  const std::unique_ptr<RecurrentLayer> exact = layer.make(Precision::kFloat32, kernels);
  const std::unique_ptr<RecurrentLayer::Room> room = exact->room();
  const std::size_t width = RecurrentLayer::padded(exact->input_size());
  Buffer<float> inputs(kTokensTogether * width);
  std::vector<const float*> x;
  for (std::size_t k = 0; k < kTokensTogether; ++k) x.push_back(inputs.data() + k * width);
  exact->reserve(*room, 1, kTokensTogether, 1);
  for (std::size_t first = 0; first < V; first += kTokensTogether) {
    const std::size_t n = std::min(kTokensTogether, V - first);
    for (std::size_t k = 0; k < n; ++k) {
      float* input = inputs.data() + k * width;
      if (E > 0) {
        std::copy_n(tensors.embedding + (first + k) * E, E, input);
      } else {
        std::fill_n(input, width, 0.0f);
        input[first + k] = 1.0f;
      }
    }
    run_team(1, [&](const Member& member) {
      exact->project(member, *room, n, x.data(), token_rows.data() + first * rows);
    });
  }
}

std::size_t LanguageModel::weight_bytes() const {
  std::size_t bytes = output.bytes();
  for (std::size_t layer = 0; layer < layers.size(); ++layer)
    bytes += layers[layer]->weight_bytes(layer > 0 || !has_table());
  return bytes;
}

}  // namespace throughtime
