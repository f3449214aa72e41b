// Steps that are trained for Python: throughtime/kernels/native.py calls them.
#include "bindings.h"
#include "dropout.h"
#include "products.h"
#include "softmax.h"

namespace throughtime::bindings {
namespace {

using Numbers = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

// The addresses of tensors are the caller's to check: throughtime/kernels/native.py makes them all.
void run(const TrainingStep& step, const std::vector<std::uintptr_t>& weights, const Numbers& sequences,
         int steps, int batch, bool backward, int threads) {
  if (sequences.shape(1) != 5 || sequences.shape(0) != step.sequences())
    throw std::invalid_argument("a training step has another number of inputs and outputs");
  if (threads < 1 || threads > kMostThreads || steps < 0 || batch < 0)
    throw std::invalid_argument("a training step runs with no such numbers");
  std::vector<const float*> places;
  for (std::uintptr_t address : weights) places.push_back(reinterpret_cast<const float*>(address));
  std::vector<Sequence> rows;
  for (std::size_t k = 0; k < sequences.shape(0); ++k) {
    const std::int64_t* one = sequences.data() + 5 * k;
    rows.push_back({reinterpret_cast<float*>(one[0]), static_cast<std::ptrdiff_t>(one[1]),
                    static_cast<int>(one[2]), reinterpret_cast<float*>(one[3]),
                    reinterpret_cast<float*>(one[4])});
  }
  const nb::gil_scoped_release release;
  step.run(places, rows, steps, batch, backward, threads);
}

using Operand = std::array<std::int64_t, 3>;  // an address, and the steps to the next row and column

// out = rows matrix^T in bf16 with fp32 sums; throughtime/kernels/products.py vouches for the addresses.
void multiply(const Operand& rows, const Operand& matrix, std::uintptr_t bias, std::uintptr_t out,
              const std::array<int, 3>& sizes, bool adds, int threads, const std::string& isa) {
  const auto [M, N, K] = sizes;
  if (threads < 1 || threads > kMostThreads || M < 1 || N < 1 || K < 1)
    throw std::invalid_argument("a product has no such sizes");
  const auto operand = [](const Operand& one) {
    return ProductOperand{reinterpret_cast<const float*>(one[0]), static_cast<std::ptrdiff_t>(one[1]),
                          static_cast<std::ptrdiff_t>(one[2])};
  };
  const Kernels& kernels = kernels_of(isa);
  const nb::gil_scoped_release release;
  multiply_rounded(kernels, operand(rows), operand(matrix), reinterpret_cast<const float*>(bias),
                   reinterpret_cast<float*>(out), M, N, K, adds, threads);
}

// Logits become their gradients; throughtime/models/softmax_loss.py vouches for the addresses.
void softmax(std::uintptr_t logits, const std::array<int, 2>& sizes, std::uintptr_t tokens,
             std::int64_t ignored, float weight, float smoothing, std::uintptr_t losses, int threads,
             const std::string& isa) {
  const auto [rows, kinds] = sizes;
  if (threads < 1 || threads > kMostThreads || rows < 1 || kinds < 1)
    throw std::invalid_argument("a softmax has no such sizes");
  const Wanted wanted{reinterpret_cast<const std::int64_t*>(tokens), ignored, weight, smoothing};
  auto* of_rows = reinterpret_cast<float*>(losses);
  const Kernels& kernels = kernels_of(isa);
  const nb::gil_scoped_release release;
  softmax_gradients(kernels, reinterpret_cast<float*>(logits), rows, kinds, wanted, of_rows, of_rows + rows,
                    threads);
}

// throughtime/draws.py vouches for the addresses. rows: as RowsHere has them.
void dropout(std::uintptr_t from, std::uintptr_t to, const std::array<std::size_t, 5>& rows,
             std::uint64_t key, double probability, int threads, const std::string& isa) {
  const auto [outer, of, start, here, inner] = rows;
  if (threads < 1 || threads > kMostThreads || start + here > of || !(probability >= 0 && probability < 1))
    throw std::invalid_argument("a dropout has no such numbers");
  const std::array<std::uint32_t, 2> words{static_cast<std::uint32_t>(key),
                                           static_cast<std::uint32_t>(key >> 32)};
  const Kernels& kernels = kernels_of(isa);
  const nb::gil_scoped_release release;
  drop_out(kernels, reinterpret_cast<const float*>(from), reinterpret_cast<float*>(to),
           {outer, of, start, here, inner}, words, probability, threads);
}

// An array of floats of any content, whose memory goes back to the arena when nobody holds it any longer.
nb::ndarray<nb::numpy, float, nb::ndim<1>> memory(std::size_t floats) {
  auto* buffer = new Buffer<float>(arena().take(floats));
  const nb::capsule owner(buffer, [](void* held) noexcept {
    auto* mine = static_cast<Buffer<float>*>(held);
    arena().give(std::move(*mine));
    delete mine;
  });
  return nb::ndarray<nb::numpy, float, nb::ndim<1>>(buffer->data(), {floats}, owner);
}

}  // namespace

void bind_training(nb::module_& module) {
  nb::class_<TrainingStep>(module, "TrainingStep")
      .def(
          "__init__",
          [](TrainingStep* self, const Whole<1>& numbers, const std::vector<Tensor>& arrays,
             const std::string& isa, const std::string& precision) {
            new (self) TrainingStep(training_of(plan_of(numbers, arrays)), kernels_of(isa),
                                    precision_named(precision));
          },
          "numbers"_a.noconvert(), "arrays"_a, "isa"_a = "", "precision"_a = "fp32")
      .def("run", run, "weights"_a, "sequences"_a, "steps"_a, "batch"_a, "backward"_a, "threads"_a)
      .def("members_of", &TrainingStep::members_of, "batch"_a);
  module.def("multiply_rounded", multiply, "rows"_a, "matrix"_a, "bias"_a, "out"_a, "sizes"_a, "adds"_a,
             "threads"_a, "isa"_a = "");
  module.def("softmax_gradients", softmax, "logits"_a, "sizes"_a, "tokens"_a, "ignored"_a, "weight"_a,
             "smoothing"_a, "losses"_a, "threads"_a, "isa"_a = "");
  module.def("dropout", dropout, "source"_a, "to"_a, "rows"_a, "key"_a, "probability"_a, "threads"_a,
             "isa"_a = "");
  module.def("training_memory", memory, "floats"_a);
}

}  // namespace throughtime::bindings
