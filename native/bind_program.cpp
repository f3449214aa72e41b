// Plans of cell programs (throughtime.runtime.planning) as the native part has them.
#include <array>

#include "bindings.h"

namespace throughtime::bindings {
namespace {

using Numbers = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

int whole(std::int64_t value) {
  if (value < 0 || value > (std::int64_t{1} << 30))
    throw std::invalid_argument("the plan has a size out of range");
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

ProgramProduct product_of(const nb::tuple& given) {
  ProgramProduct product;
  product.place = place_of(given[0]);
  product.units = whole(nb::cast<std::int64_t>(given[1]));
  const int vectors = product.place.stride / kLanes;
  for (nb::handle one : nb::cast<nb::list>(given[2])) {
    const auto fields = nb::cast<nb::tuple>(one);
    const auto matrix = nb::cast<Floats<2>>(fields[2]);
    if (matrix.shape(0) > kLargestSide || matrix.shape(1) > kLargestSide)
      throw std::invalid_argument("the plan has a matrix that is too large");
    product.segments.push_back({whole(nb::cast<std::int64_t>(fields[0])),
                                whole(nb::cast<std::int64_t>(fields[1])), static_cast<int>(matrix.shape(0)),
                                static_cast<int>(matrix.shape(1)), matrix.data()});
  }
  if (!given[3].is_none()) {
    const auto bias = nb::cast<Floats<2>>(given[3]);  // (vectors, units)
    if (static_cast<int>(bias.shape(0)) != vectors || static_cast<int>(bias.shape(1)) != product.units)
      throw std::invalid_argument("the plan has a bias of no such shape");
    const int blocks = (product.units + kLanes - 1) / kLanes;
    product.bias.resize(static_cast<std::size_t>(blocks) * product.place.stride);
    for (int vector = 0; vector < vectors; ++vector)
      for (int unit = 0; unit < product.units; ++unit)
        product.bias[static_cast<std::size_t>(unit / kLanes) * product.place.stride + vector * kLanes +
                     unit % kLanes] = bias.data()[vector * product.units + unit];
  }
  return product;
}

}  // namespace

ProgramSpec program_of(const nb::dict& plan) {
  ProgramSpec spec;
  spec.input_size = whole(nb::cast<std::int64_t>(plan["input_size"]));
  for (std::int64_t size : nb::cast<std::vector<std::int64_t>>(plan["state_sizes"]))
    spec.state_sizes.push_back(whole(size));
  spec.output_size = whole(nb::cast<std::int64_t>(plan["output_size"]));
  spec.output = place_of(plan["output"]);
  spec.projected_floats = whole(nb::cast<std::int64_t>(plan["projected_floats"]));
  spec.scratch_floats = whole(nb::cast<std::int64_t>(plan["scratch_floats"]));
  const auto constants = nb::cast<Floats<1>>(plan["constants"]);
  spec.constants.assign(constants.data(), constants.data() + constants.shape(0));
  spec.index = nb::cast<std::vector<int>>(plan["index"]);
  for (nb::handle one : nb::cast<nb::list>(plan["sources"])) {
    const auto fields = nb::cast<nb::tuple>(one);
    spec.sources.push_back({place_of(fields[0]), whole(nb::cast<std::int64_t>(fields[1]))});
  }
  for (nb::handle one : nb::cast<nb::list>(plan["products"]))
    spec.products.push_back(product_of(nb::cast<nb::tuple>(one)));
  spec.project = schedule_of(nb::cast<nb::list>(plan["project"]));
  spec.step = schedule_of(nb::cast<nb::list>(plan["step"]));
  spec.fused = schedule_of(nb::cast<nb::list>(plan["fused"]));
  return spec;
}

}  // namespace throughtime::bindings
