// See CMakeLists.txt for the instructions that this file is compiled for.
#define THROUGHTIME_SCALAR
#define THROUGHTIME_NAME "scalar"
#define THROUGHTIME_TABLE kernels_scalar
#include "kernels_impl.h"
