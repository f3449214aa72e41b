// Cell programs for Python: plans of throughtime.runtime.plan become layers.
#include <array>
#include <optional>

#include "bindings.h"
#include "program.h"

namespace throughtime::bindings {
namespace {

using Numbers = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

int whole(std::int64_t value) {
  if (value < 0 || value > (std::int64_t{1} << 30)) throw std::invalid_argument("the plan has a size out of range");
  return static_cast<int>(value);
}

LanePlace place_of(const std::int64_t* numbers) {
  return {whole(numbers[0]), whole(numbers[2]), whole(numbers[1])};
}

LanePlace place_of(const nb::handle& given) {
  const auto numbers = nb::cast<std::array<std::int64_t, 3>>(given);
  return place_of(numbers.data());
}

Schedule schedule_of(const nb::list& given) {
  Schedule schedule;
  for (nb::handle one : given) {
    const auto parts = nb::cast<nb::tuple>(one);
    ProgramPhase phase;
    phase.sources = nb::cast<std::vector<int>>(parts[0]);
    for (nb::handle group : nb::cast<nb::list>(parts[1])) {
      const auto fields = nb::cast<nb::tuple>(group);
      ProgramLanes lanes;
      lanes.blocks = whole(nb::cast<std::int64_t>(fields[0]));
      lanes.grain = whole(nb::cast<std::int64_t>(fields[1]));
      lanes.products = nb::cast<std::vector<int>>(fields[2]);
      const auto numbers = nb::cast<Numbers>(fields[3]);
      if (numbers.shape(1) != 13) throw std::invalid_argument("the plan's instructions have no 13 numbers");
      for (std::size_t k = 0; k < numbers.shape(0); ++k) {
        const std::int64_t* row = numbers.data() + 13 * k;
        if (row[0] < 0 || row[0] >= static_cast<int>(LaneOperation::kCount))
          throw std::invalid_argument("the plan has an operation that does not exist");
        lanes.instructions.push_back({static_cast<LaneOperation>(row[0]),
                                      place_of(row + 1),
                                      {place_of(row + 4), place_of(row + 7), place_of(row + 10)}});
      }
      lanes.registers = whole(nb::cast<std::int64_t>(fields[4]));
      phase.lanes.push_back(std::move(lanes));
    }
    const auto rows = nb::cast<Numbers>(parts[2]);
    if (rows.shape(1) != 9) throw std::invalid_argument("the plan's rows have no 9 numbers");
    for (std::size_t k = 0; k < rows.shape(0); ++k) {
      const std::int64_t* row = rows.data() + 9 * k;
      if (row[0] < 0 || row[0] > static_cast<int>(RowKind::kNormalise))
        throw std::invalid_argument("the plan has work that does not exist");
      phase.rows.push_back({static_cast<RowKind>(row[0]),
                            place_of(row + 1),
                            {whole(row[4]), kLanes, whole(row[5])},
                            whole(row[6]),
                            whole(row[7]),
                            whole(row[8])});
    }
    schedule.push_back(std::move(phase));
  }
  return schedule;
}

ProgramProduct product_of(const nb::tuple& given, Precision precision) {
  ProgramProduct product;
  product.place = place_of(given[0]);
  product.units = whole(nb::cast<std::int64_t>(given[1]));
  const int vectors = product.place.stride / kLanes;
  if (vectors < 1 || vectors > kMaxVectors || product.place.stride % kLanes != 0 || product.units < 1)
    throw std::invalid_argument("the plan has a product of no such width");
  for (nb::handle one : nb::cast<nb::list>(given[2])) {
    const auto fields = nb::cast<nb::tuple>(one);
    const auto matrix = nb::cast<Floats<2>>(fields[2]);
    const auto rows = static_cast<int>(matrix.shape(0));
    if (matrix.shape(0) > kLargestSide || matrix.shape(1) > kLargestSide || matrix.shape(1) == 0 || rows == 0 ||
        rows % vectors != 0)
      throw std::invalid_argument("the plan has a matrix of no such shape");
    const int unit = whole(nb::cast<std::int64_t>(fields[1]));
    const int units = rows / vectors;
    product.segments.push_back(
        {whole(nb::cast<std::int64_t>(fields[0])), unit,
         PackedMatrix(matrix.data(), static_cast<int>(matrix.shape(1)),
                      vectors == 1 ? plain_rows(units) : interleaved_rows(vectors, units),
                      vectors == 1 ? kPlainVectors : vectors, precision)});
  }
  if (!given[3].is_none()) {
    const auto bias = nb::cast<Floats<2>>(given[3]);  // (vectors, units)
    if (static_cast<int>(bias.shape(0)) != vectors || static_cast<int>(bias.shape(1)) != product.units)
      throw std::invalid_argument("the plan has a bias of no such shape");
    const int blocks = (product.units + kLanes - 1) / kLanes;
    product.bias = Buffer<float>(static_cast<std::size_t>(blocks) * product.place.stride);
    for (int vector = 0; vector < vectors; ++vector)
      for (int unit = 0; unit < product.units; ++unit)
        product.bias[static_cast<std::size_t>(unit / kLanes) * product.place.stride + vector * kLanes +
                     unit % kLanes] = bias.data()[vector * product.units + unit];
  }
  return product;
}

class PyProgram {
 public:
  PyProgram(const nb::dict& plan, const std::string& precision, const std::string& isa) {
    ProgramSpec spec;
    const Precision kept = precision_named(precision);
    spec.input_size = whole(nb::cast<std::int64_t>(plan["input_size"]));
    for (std::int64_t size : nb::cast<std::vector<std::int64_t>>(plan["state_sizes"]))
      spec.state_sizes.push_back(whole(size));
    spec.output_size = whole(nb::cast<std::int64_t>(plan["output_size"]));
    spec.output = place_of(plan["output"]);
    spec.projected_floats = whole(nb::cast<std::int64_t>(plan["projected_floats"]));
    spec.scratch_floats = whole(nb::cast<std::int64_t>(plan["scratch_floats"]));
    const auto constants = nb::cast<Floats<1>>(plan["constants"]);
    spec.constants = Buffer<float>(constants.shape(0));
    std::copy_n(constants.data(), constants.shape(0), spec.constants.data());
    spec.index = nb::cast<std::vector<int>>(plan["index"]);
    for (nb::handle one : nb::cast<nb::list>(plan["sources"])) {
      const auto fields = nb::cast<nb::tuple>(one);
      spec.sources.push_back({place_of(fields[0]), whole(nb::cast<std::int64_t>(fields[1]))});
    }
    for (nb::handle one : nb::cast<nb::list>(plan["products"]))
      spec.products.push_back(product_of(nb::cast<nb::tuple>(one), kept));
    spec.project = schedule_of(nb::cast<nb::list>(plan["project"]));
    spec.step = schedule_of(nb::cast<nb::list>(plan["step"]));
    spec.fused = schedule_of(nb::cast<nb::list>(plan["fused"]));
    layer_ = std::make_unique<ProgramLayer>(std::move(spec), kept, kernels_of(isa));
  }

  nb::tuple scan(Floats<3> inputs, std::vector<Floats<2>> state, std::optional<Whole<1>> lengths, bool backward,
                 int threads, bool stepwise) const {
    const ProgramLayer& layer = *layer_;
    const std::size_t T = inputs.shape(0), B = inputs.shape(1), I = inputs.shape(2);
    if (I != static_cast<std::size_t>(layer.input_size())) throw std::invalid_argument("inputs have another width");
    const auto O = static_cast<std::size_t>(layer.output_size());
    NewArray<float> outputs({T, B, O});
    std::vector<NewArray<float>> finals;
    for (std::size_t part = 0; part < layer.parts(); ++part) {
      finals.emplace_back(std::vector<std::size_t>{B, static_cast<std::size_t>(layer.state_size(part))});
      std::copy_n(state.at(part).data(), B * layer.state_size(part), finals.back().data());
    }
    if (T > 0 && B > 0) {
      nb::gil_scoped_release released;
      const std::size_t width = ProgramLayer::padded(layer.input_size());
      Buffer<float> x(T * B * width), projected(stepwise ? 1 : T * B * layer.projected_floats());
      for (std::size_t row = 0; row < T * B; ++row) std::copy_n(inputs.data() + row * I, I, x.data() + row * width);
      std::vector<Buffer<float>> memory;
      std::vector<float*> states;
      for (std::size_t part = 0; part < layer.parts(); ++part) {
        const auto size = static_cast<std::size_t>(layer.state_size(part));
        const auto stride = static_cast<std::size_t>(ProgramLayer::padded(layer.state_size(part)));
        memory.emplace_back(B * stride);
        for (std::size_t b = 0; b < B; ++b) {
          std::copy_n(finals[part].data() + b * size, size, memory.back().data() + b * stride);
          states.push_back(memory.back().data() + b * stride);
        }
      }
      std::vector<const float*> rows(T * B), starts(T * B);
      for (std::size_t row = 0; row < T * B; ++row) {
        rows[row] = x.data() + row * width;
        starts[row] = projected.data() + (stepwise ? 0 : row * layer.projected_floats());
      }
      ProgramWorkspace workspace;
      layer.reserve(workspace, B, stepwise ? 1 : T * B, threads);
      run_team(threads, [&](const Member& member) {
        if (!stepwise) layer.project(member, workspace, T * B, rows.data(), projected.data());
        for (std::size_t k = 0; k < T; ++k) {
          const std::size_t t = backward ? T - 1 - k : k;
          layer.ready(member, workspace, B, states.data());
          member.barrier();
          layer.step(member, workspace, B, stepwise ? nullptr : starts.data() + t * B,
                     stepwise ? rows.data() + t * B : nullptr, states.data());
          for (std::size_t b = member.begin(B); b < member.end(B); ++b)
            std::copy_n(layer.output(member, workspace, B, b), O, outputs.data() + (t * B + b) * O);
        }
      });
      for (std::size_t part = 0; part < layer.parts(); ++part)
        for (std::size_t b = 0; b < B; ++b)
          std::copy_n(states[part * B + b], layer.state_size(part),
                      finals[part].data() + b * layer.state_size(part));
    }
    nb::list out;
    for (NewArray<float>& part : finals) out.append(part.give());
    return nb::make_tuple(outputs.give(), nb::tuple(out));
  }

 private:
  std::unique_ptr<ProgramLayer> layer_;
};

}  // namespace

void bind_program(nb::module_& module) {
  nb::class_<PyProgram>(module, "Program", "A cell program with packed weights; see throughtime.runtime.plan.")
      .def(nb::init<const nb::dict&, const std::string&, const std::string&>(), "plan"_a, "precision"_a = "fp32",
           "isa"_a = "")
      .def("scan", &PyProgram::scan, "inputs"_a.noconvert(), "state"_a, "lengths"_a.none() = nb::none(),
           "backward"_a = false, "threads"_a = 1, "stepwise"_a = false);
}

}  // namespace throughtime::bindings
