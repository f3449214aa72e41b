// See CMakeLists.txt for the instructions that this file is compiled for.
#define THROUGHTIME_NAME "avx512"
#define THROUGHTIME_TABLE kernels_avx512
#include "kernels_impl.h"
