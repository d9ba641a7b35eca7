//! bitnet.cpp.
