//! Speed of one engine against another: what the host allows, and when rounds decide.

pub mod noise;
pub mod qualify;
pub mod verdict;
