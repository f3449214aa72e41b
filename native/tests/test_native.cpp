// Drives the part of native/ that knows nothing of Python, for the sanitizers and for machines without
// Python: every instruction set that runs here, odd sizes, empty batches, several threads.
//
// The numbers themselves are held to torch by tests/runtime; here a product and a step are checked against
// plain loops in double, and what has to be equal bit for bit is.
//
//   test_native [kernels|layers|engine|team|sampler]... [FILE.plan]...
//
// All of them where none is named, and the plans of the files.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <sstream>
#include <utility>

#include "testing.h"

namespace throughtime::testing {

void check(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
  std::exit(1);
}

namespace {

std::mt19937 generator(5);

}  // namespace

Floats random_floats(std::size_t n, float scale) {
  std::uniform_real_distribution<float> uniform(-scale, scale);
  Floats values(n);
  for (float& value : values) value = uniform(generator);
  return values;
}

std::vector<const Kernels*> versions() {
  std::vector<const Kernels*> found;
  std::istringstream names(available_kernels());
  for (std::string name; names >> name;) found.push_back(&kernels_named(name.c_str()));
  return found;
}

Tokens random_tokens(std::size_t n, int vocabulary) {
  Tokens tokens(n);
  for (std::int64_t& token : tokens)
    token = static_cast<std::int64_t>(generator() % static_cast<unsigned>(vocabulary));
  return tokens;
}

Network make_network(const Options& options, int input_size, int hidden_size) {
  Network network;
  LayerTensors& t = network.tensors;
  const std::size_t gates = options.kind == CellKind::kRnn                      ? 1
                            : options.kind == CellKind::kGru || options.coupled ? 3
                                                                                : 4;
  const auto I = static_cast<std::size_t>(input_size), H = static_cast<std::size_t>(hidden_size);
  const std::size_t S = options.projects ? (H + 1) / 2 : H;
  t.kind = options.kind;
  t.input_size = input_size;
  t.hidden_size = hidden_size;
  t.state_size = static_cast<int>(S);
  t.relu = options.relu;
  t.coupled = options.coupled;
  t.reset_after = options.reset_after;
  t.keep_hidden = t.keep_cell = options.zoneout;
  t.weight_ih = network.random(gates * H * I);
  t.weight_hh = network.random(gates * H * S);
  t.bias_ih = network.random(gates * H);
  t.bias_hh = network.random(gates * H);
  if (options.projects) t.weight_hr = network.random(S * H);
  if (options.peephole) t.weight_peephole = network.random((gates - 1) * H);
  if (options.norm) {
    t.norm_ih = network.random(gates * H);
    t.norm_hh = network.random(gates * H);
    t.norm_cell = network.random(H);
    t.norm_cell_bias = network.random(H);
  }
  return network;
}

}  // namespace throughtime::testing

int main(int count, char** arguments) {
  using namespace throughtime::testing;
  const std::pair<const char*, void (*)()> tests[] = {{"kernels", test_kernels},
                                                      {"layers", test_layers},
                                                      {"engine", test_engine},
                                                      {"team", test_team},
                                                      {"sampler", test_sampler}};
  std::vector<std::string> wanted, files;
  for (int k = 1; k < count; ++k) {
    const std::string argument = arguments[k];
    (argument.ends_with(".plan") ? files : wanted).push_back(argument);
  }
  std::printf("instruction sets: %s; in use: %s\n", throughtime::available_kernels(),
              throughtime::kernels().name);
  for (const auto& [name, test] : tests) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), name) == wanted.end()) continue;
    test();
    std::printf("%s passed\n", name);
    std::fflush(stdout);
  }
  test_plans(files);
  std::printf("%zu plans passed\n", files.size());
}
