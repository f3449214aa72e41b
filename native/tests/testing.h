// What the tests of native/ share: checks, random numbers, and layers with any options.
//
// A check that fails ends the program, so that what a sanitizer says stands alone.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "kernels.h"
#include "layer.h"
#include "packed.h"

namespace throughtime::testing {

using Floats = std::vector<float>;
using Tokens = std::vector<std::int64_t>;

inline constexpr Precision kPrecisions[] = {Precision::kFloat32, Precision::kBfloat16, Precision::kInt8};
inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

void check(bool holds, const std::string& what);

template <class Error>
void check_throws(const std::function<void()>& body, const std::string& what) {
  try {
    body();
  } catch (const Error&) {
    return;
  }
  check(false, what + " was taken");
}

Floats random_floats(std::size_t n, float scale = 1.0f);
Tokens random_tokens(std::size_t n, int vocabulary);

// All that run on this machine.
std::vector<const Kernels*> versions();

// A layer's tensors and the memory that they point into.
struct Network {
  LayerTensors tensors;
  std::vector<Floats> kept;

  const float* random(std::size_t n) {
    kept.push_back(random_floats(n, 0.4f));
    return kept.back().data();
  }
};

struct Options {
  const char* name;
  CellKind kind = CellKind::kLstm;
  bool coupled = false, peephole = false, norm = false, projects = false, relu = false, reset_after = true;
  float zoneout = 0;
};

inline const Options kCells[] = {
    {.name = "rnn", .kind = CellKind::kRnn},
    {.name = "rnn relu zoneout", .kind = CellKind::kRnn, .relu = true, .zoneout = 0.2f},
    {.name = "gru", .kind = CellKind::kGru},
    {.name = "gru zoneout", .kind = CellKind::kGru, .zoneout = 0.3f},
    {.name = "gru reset before", .kind = CellKind::kGru, .reset_after = false, .zoneout = 0.1f},
    {.name = "lstm"},
    {.name = "lstm peephole zoneout", .peephole = true, .zoneout = 0.2f},
    {.name = "lstm coupled peephole", .coupled = true, .peephole = true},
    {.name = "lstm projection", .projects = true, .zoneout = 0.1f},
    {.name = "lstm norm", .norm = true},
    {.name = "lstm everything",
     .coupled = true,
     .peephole = true,
     .norm = true,
     .projects = true,
     .zoneout = 0.1f},
};

Network make_network(const Options& options, int input_size, int hidden_size);

// A step of some slots: each has to come to what it comes to alone, whatever the threads.
void check_steps(const RecurrentLayer& layer, const std::string& what);
// A batch of sequences; each row has to be what it is alone, and backward what the reversed input is forward.
void check_scan(const RecurrentLayer& layer, std::size_t T, std::size_t B, const std::string& name);

void test_kernels();
void test_layers();
void test_engine();
void test_team();
void test_sampler();
// Of the plans in files that tests/runtime/test_sanitizers.py writes: of many cells, to run and to train.
void test_plans(const std::vector<std::string>& files);

}  // namespace throughtime::testing
