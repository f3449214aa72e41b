// See CMakeLists.txt for the instructions that this file is compiled for.
#define THROUGHTIME_NAME "avx2"
#define THROUGHTIME_TABLE kernels_avx2
#include "kernels_impl.h"
