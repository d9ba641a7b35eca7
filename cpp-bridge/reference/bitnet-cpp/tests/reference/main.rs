//! The linked reference on a tiny model of our own: what it computes, and what it refuses.

use bitnet_reference_bitnet_cpp as reference;

#[path = "../../../tests/arithmetic.rs"]
mod arithmetic;
#[path = "../../../tests/computing.rs"]
mod computing;
#[path = "../../../tests/fixture.rs"]
mod fixture;
mod limits;
mod provider;
#[path = "../../../tests/refusing.rs"]
mod refusing;
