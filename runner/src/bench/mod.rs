//! Speed of one engine against another: what the host allows, what is measured, and when rounds decide.

pub mod case;
pub mod contender;
pub mod expected;
pub mod measure;
pub mod noise;
pub mod qualify;
pub mod task;
pub mod verdict;
